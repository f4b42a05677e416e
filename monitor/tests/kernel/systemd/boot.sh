# Boots systemd in namespaces of its own, on a copy of this system that is thrown away with them: SCRATCH DAEMON UNIT.
# What a booting host does besides (sysctl, udev, temporary files) is taken out, since the kernel is shared.
scratch=$1 daemon=$2 unit=$3
mount --make-rprivate /
mount -t tmpfs none "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
mount -t overlay -o "lowerdir=/,upperdir=$scratch/upper,workdir=$scratch/work" none "$scratch/root"
cd "$scratch/root"
mount -t proc none proc
mount --rbind /sys sys
umount -R sys/fs/cgroup
mount -t cgroup2 none sys/fs/cgroup
mount --rbind /dev dev
for directory in run tmp var/tmp; do
    mount -t tmpfs none "$directory"
done
rm -rf etc/systemd/system/*.wants lib/systemd/system/*.wants
mkdir -p etc/default run/systemd/system/reset-monitor.service.d usr/local/bin
# The build's directory may be a mount of its own.
cp "$daemon" usr/local/bin/reset-monitor
cp "$unit" run/systemd/system/
echo RESET_MONITOR_LISTEN=127.0.0.1:0 >etc/default/reset-monitor
printf '[Service]\nRestartSec=100ms\nWatchdogSec=15\n' >run/systemd/system/reset-monitor.service.d/quick.conf
echo '[Unit]' >run/systemd/system/nothing.target
export container=trial
exec chroot . /usr/lib/systemd/systemd --system --unit=nothing.target --log-target=console --show-status=no
