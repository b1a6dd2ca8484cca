#!/bin/sh
# The guest's first process: gets SELinux, the devices and the shares ready, runs one command, reports its status.
#
# The host talks to it over three virtio ports:
#   lab.control  host → guest: one line of shell, the job (see job.mjs);
#                guest → host: "ready" when the command starts, "exit N" at the end, or "failed REASON"
#   lab.stdout, lab.stderr   the command's output, each ended by the job's marker, so that the host knows it has all
# Kernel messages and what goes wrong in here go to the serial console.
own=/usr/lib/vm-entrypoint-lab
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# The context in which this process goes on once there is a policy; lab.cil says why.
case $(cat /etc/selinux/config) in
*SELINUXTYPE=mls*) self_context=system_u:system_r:lab_init_t:s0-s15:c0.c1023 ;;
*) self_context=system_u:system_r:lab_init_t:s0-s0:c0.c1023 ;;
esac

fail() {
  echo "lab: $*" > /dev/console
  # The host ends the guest; the rest is for the case that it is no longer there.
  echo "failed $*" >&9
  sleep 10
  echo o > /proc/sysrq-trigger
  sleep 60
}

# Names the device of a virtio port (there is no udev).
port() {
  for entry in /sys/class/virtio-ports/*; do
    read -r name < "$entry/name"
    if [ "$name" = "$1" ]; then
      echo "/dev/${entry##*/}"
      return
    fi
  done
}

# Without a newline: the kernel does not count it as written, and the shell would write it again, as a context.
enter() {
  printf %s "$1" > /proc/self/attr/current
}

# Everything that this script runs on behalf of the command is left alone by end_leftovers.
keep() {
  read -r pid rest < /proc/self/stat
  echo "$pid" >> /run/lab/keep
}

# Copies one stream of the command to the host.
pump() {
  keep
  enter "$self_context"
  exec > "$(port "lab.$1")"
  : > "/run/lab/$1.open"
  cat
  printf %s "$marker"
}

# Runs the command and waits for it. A session of its own, so that the command may signal its process group.
supervise() {
  eval "$1"
  keep
  trap '' HUP INT TERM
  # What this shell says itself ("Killed") must not get among the command's output.
  exec 4>&2 2> /dev/console
  until [ -e /run/lab/stdout.open ] && [ -e /run/lab/stderr.open ]; do sleep 0.01; done
  if [ "$enforcing" = 1 ]; then echo 1 > /sys/fs/selinux/enforce; fi
  # What the set-up would have been denied is not the command's business.
  dmesg --clear
  echo ready >&9
  (
    exec 2>&4 4>&- 9>&-
    cd /project || exit 125
    trap - HUP INT TERM
    printf %s "$command_context" > /proc/self/attr/exec || exit 125
    export HOME=/root USER=root LOGNAME=root LANG=C.UTF-8 TERM=dumb
    eval "set -- $command"
    exec "$@"
  )
  echo $? > /run/lab/status
  end_leftovers
}

# Ends what the command left running, because it may hold the output open.
end_leftovers() {
  kept=
  while read -r process; do kept="$kept $process "; done < /run/lab/keep
  for process in /proc/[0-9]*; do
    process=${process#/proc/}
    context=
    read -r context 2> /dev/null < "/proc/$process/attr/current"
    case $context in
    *:lab_init_t:* | *:kernel_t:*) ;;
    *)
      case $kept in
      *" $process "*) ;;
      *) kill -KILL "$process" 2> /dev/null ;;
      esac
      ;;
    esac
  done
}

if [ "$1" = supervise ]; then
  supervise "$2"
  exit
fi

mount -t proc proc /proc
mount -a -T "$own/fstab" -t sysfs,devtmpfs,selinuxfs
exec 2> /dev/console
# Starting a program takes a tenth of a second here, so programs are few. KVM's modules are the largest: they load
# while the policy does.
modprobe kvm_amd &
modprobe -a virtio_pci virtio_console virtio_blk virtiofs
exec 9<> "$(port lab.control)"

load_policy || fail 'load_policy failed'
# Still permissive: from here to `supervise` only labels matter.
enter "$self_context" || fail 'the policy has no lab_init_t'

mount -a -T "$own/fstab" -t tmpfs,devpts,mqueue,cgroup2
cp -d "$own"/dev/* /dev
wait
# -F: under mls the nodes were made at the level of the kernel, system high.
restorecon -RF /dev
# As distributions have it: who may use KVM is for SELinux to say.
chmod 0666 /dev/kvm
mkdir -m 0700 /run/lab
echo lab > /proc/sys/kernel/hostname
# Records of denials must not be dropped because there are many.
echo 0 > /proc/sys/kernel/printk_ratelimit
ip link set lo up

IFS= read -r job <&9 || fail 'no job came'
eval "$job"
while [ $# -gt 0 ]; do
  mkdir -p "$2"
  mount -t virtiofs -o "$3,nodev,context=system_u:object_r:bin_t:s0" "$1" "$2" || fail "cannot mount $2"
  shift 3
done

# The command's stdin and pipes are made in the command's own context. Then they are as its login would have made
# them, and the policy under test decides about nothing that only this runner brought.
(
  keep
  enter "$command_context" || fail "the policy refuses the context $command_context"
  exec < /dev/null
  {
    keep
    {
      keep
      enter "$self_context"
      exec setsid "$0" supervise "$job"
    } 2>&1 >&3 3>&- | pump stderr 3>&-
  } 3>&1 | pump stdout
) &
# `wait` also collects orphans, so that a process which the command lost does not stay a zombie.
wait $!

# Shares are written through. Only what the host attached as a disk is worth writing back.
while read -r device directory rest; do
  case $device in
  /dev/vd*) umount "$directory" ;;
  esac
done < /proc/mounts
if [ -b /dev/vda ]; then sync /dev/vd*; fi
read -r status < /run/lab/status
echo "exit ${status:-125}" >&9
sleep 10
echo o > /proc/sysrq-trigger
sleep 60
