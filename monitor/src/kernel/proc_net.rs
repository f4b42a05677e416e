//! Texts of `/proc/net` to numbers. Pure: columns are found by name and never by place, and what is not there is `None`.

/// Values of one protocol in `snmp` or `netstat`, which name them on one line and give them on the next; `protocol` is the
/// first word of both, for example `TcpExt:`.
pub fn counters<const N: usize>(text: &str, protocol: &str, wanted: [&str; N]) -> [Option<u64>; N] {
    let mut found = [None; N];
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(protocol));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else { return found };
    for (name, value) in names.split_whitespace().zip(values.split_whitespace()) {
        for (wanted, found) in wanted.iter().zip(&mut found) {
            if *wanted == name {
                *found = value.parse().ok();
            }
        }
    }
    found
}

/// Values of one line of `sockstat`, which gives each after its name: `TCP: inuse 5 orphan 0 tw 3 alloc 7 mem 1`.
pub fn line_values<const N: usize>(text: &str, line: &str, wanted: [&str; N]) -> [Option<u64>; N] {
    let mut found = [None; N];
    let Some(rest) = text.lines().find_map(|candidate| candidate.strip_prefix(line)) else { return found };
    let mut words = rest.split_whitespace();
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        for (wanted, found) in wanted.iter().zip(&mut found) {
            if *wanted == name {
                *found = value.parse().ok();
            }
        }
    }
    found
}

/// A column of `stat/nf_conntrack`, summed over CPUs: a line of names, then a line of hexadecimal values per CPU. `None`
/// when the column or every CPU is missing, or a value is not one.
pub fn sum_of_column(text: &str, wanted: &str) -> Option<u64> {
    let mut lines = text.lines();
    let column = lines.next()?.split_whitespace().position(|name| name == wanted)?;
    let mut sum = None;
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let value = u64::from_str_radix(line.split_whitespace().nth(column)?, 16).ok()?;
        sum = Some(sum.unwrap_or(0_u64).saturating_add(value));
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_name_and_not_by_place() {
        let snmp = "Ip: Forwarding\nIp: 1\nTcp: RtoAlgorithm OutRsts InCsumErrors\nTcp: 1 42 7\nUdp: InDatagrams\nUdp: 9\n";
        assert_eq!(counters(snmp, "Tcp:", ["OutRsts"]), [Some(42)]);
        let netstat = "TcpExt: ListenDrops X ListenOverflows\nTcpExt: 5 6 4\nIpExt: ListenDrops\nIpExt: 9\n";
        assert_eq!(counters(netstat, "TcpExt:", ["ListenOverflows", "ListenDrops"]), [Some(4), Some(5)]);
        assert_eq!(counters(netstat, "TcpExt:", ["ListenOverflows", "New"]), [Some(4), None]);
    }

    #[test]
    fn a_text_without_the_counter_gives_nothing() {
        for text in
            ["", "Tcp: OutRsts", "Tcp: A B\nTcp: 1 2", "Tcp: OutRsts\nTcp: many", "Tcp: OutRsts\nTcp: -1"]
        {
            assert_eq!(counters(text, "Tcp:", ["OutRsts"]), [None], "{text:?}");
        }
    }

    #[test]
    fn values_of_a_line_are_found_by_their_names() {
        let text = "sockets: used 16\nTCP: inuse 1 orphan 2 tw 5 alloc 1 mem 0\nUDP: inuse 0 orphan 9\n";
        assert_eq!(line_values(text, "TCP:", ["orphan", "tw"]), [Some(2), Some(5)]);
        for text in ["", "TCP:", "TCP: orphan", "TCP: orphan x tw", "UDP: orphan 1 tw 2"] {
            assert_eq!(line_values(text, "TCP:", ["orphan", "tw"]), [None, None], "{text:?}");
        }
    }

    #[test]
    fn a_column_is_hexadecimal_and_summed_over_cpus() {
        let text = "entries  clashres found drop early_drop\n\
                    00000011  00000000 00000000 0000000a 00000001\n\
                    00000011  00000000 00000000 000000ff 00000000\n";
        assert_eq!(sum_of_column(text, "drop"), Some(10 + 255));
        for text in
            ["", "entries drop", "entries drop\n", "entries\n1", "entries drop\n1", "entries drop\n1 x"]
        {
            assert_eq!(sum_of_column(text, "drop"), None, "{text:?}");
        }
    }
}
