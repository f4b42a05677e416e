// java.net.http.HttpClient, which closes what its pool has not used for jdk.httpclient.keepalive.timeout seconds.
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;

public class PoolClient {
    public static void main(String[] arguments) throws Exception {
        var client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        var request = HttpRequest.newBuilder(URI.create(arguments[0])).build();
        var lines = new BufferedReader(new InputStreamReader(System.in));
        while (lines.readLine() != null) {
            try {
                System.out.println(client.send(request, BodyHandlers.ofString()).body());
            } catch (IOException lost) {
                System.out.println("lost");
            }
        }
    }
}
