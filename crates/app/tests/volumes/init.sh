#!/bin/busybox sh
# The life of a computer on LVM volumes, by the program's own commands. The judge is outside: it
# wants a line `VERDICT yes SENTENCE` for every sentence, and `GUEST ended`.
export PATH=/usr/sbin:/bin:/sbin
/bin/busybox --install -s /bin
mount -t proc p /proc; mount -t sysfs s /sys; mount -t devtmpfs d /dev; mount -t tmpfs t /tmp
mount -t tmpfs r /run; mkdir -p /run/lock/lvm /mnt/root /mnt/data /mnt/back
while read -r m; do insmod "/modules/$m"; done < /modules/order
dmesg -n 1
hostname box

export LIFEBOAT_REPOSITORY=/tmp/repository RESTIC_PASSWORD=secret RESTIC_CACHE_DIR=/tmp/cache
export LIFEBOAT_THREADS=2 HOME=/tmp

told() { echo "$ $*"; }
# Runs the program; what it says is kept in /tmp/said.
run() { told lifeboat "$@"; /program "$@" > /tmp/said 2>&1; code=$?; cat /tmp/said; return $code; }
says() { grep -q -- "$1" /tmp/said || { echo "not said: $1"; return 1; }; }
leftovers() {
    lvm lvs --noheadings -o lv_name,lv_size,data_percent,lv_tags -S lv_tags=lifeboat vg-0 | wc -l
}
verdict() { if "$1"; then echo "VERDICT yes $1"; else echo "VERDICT NO $1"; fi; echo "TOOK $1 until $(cut -d' ' -f1 /proc/uptime)"; }
same() { cmp "$1" "$2" && echo "same: $2"; }

prepare() {
    lvm pvcreate -qq /dev/vda && lvm vgcreate -qq vg-0 /dev/vda &&
    lvm lvcreate -qq -y --type thin-pool -L 64M -c 64k --poolmetadatasize 4M -n po-ol vg-0 &&
    lvm lvcreate -qq -y -L 16M -n root vg-0 &&
    lvm lvcreate -qq -y -V 16M -T vg-0/po-ol -n data &&
    lvm lvcreate -qq -y -L 16M -n other vg-0 &&
    mke2fs /dev/vg-0/root > /dev/null && mke2fs /dev/vg-0/data > /dev/null &&
    mount -t ext4 /dev/vg-0/root /mnt/root && mount -t ext4 /dev/vg-0/data /mnt/data &&
    dd if=/dev/urandom of=/mnt/root/a bs=64k count=24 2> /dev/null &&
    dd if=/dev/urandom of=/mnt/data/b bs=64k count=24 2> /dev/null &&
    run init
}

its_own_volumes_are_found_and_rules_are_shown() {
    cat > /tmp/job.toml << 'JOB'
[lvm]
snapshot_size = "50%"
snapshot_min = "4M"
keep_snapshots = "all"

[[pre_snapshot]]
run = ["sh", "-c", "echo before $LIFEBOAT_DISKS > /tmp/hook; sync"]

[[post_snapshot]]
run = ["sh", "-c", "echo after $LIFEBOAT_OUTCOME >> /tmp/hook"]
JOB
    run machine backup -P self: -j /tmp/job.toml -n &&
    says "vg-0-root: snapshot of vg-0/root with a store of 8.000 MiB, stays" &&
    says "vg-0-data: thin snapshot of vg-0/data, stays" && ! grep -q other /tmp/said
}

backups_go_on_by_increments_with_hooks_around_them() {
    run machine backup -P self: -j /tmp/job.toml && [ "$(leftovers)" = 2 ] &&
    [ "$(cat /tmp/hook)" = "$(printf 'before vg-0-data vg-0-root\nafter success')" ] &&
    echo more >> /mnt/root/a && echo more >> /mnt/data/b &&
    run --json machine backup -P self: -j /tmp/job.toml && [ "$(leftovers)" = 2 ] &&
    [ "$(grep -o '"mode":"incremental"' /tmp/said | wc -l)" = 2 ] && says '"consistency":"crash"'
}

disks_come_back_onto_volumes() {
    run machine recover box -P self: --only-disk vg-0-root \
        --place vg-0-root=/dev/vg-0/other --verify && says "read every disk back" &&
    mount -t ext4 -o ro /dev/vg-0/other /mnt/back && same /mnt/root/a /mnt/back/a &&
    umount /mnt/back
}

a_whole_machine_comes_back_into_a_group() {
    ! run machine recover box -P self: --only-disk vg-0-root \
        --place vg-0-root=/dev/vg-0/root && says "in use" &&
    ! run machine recover box -P self: --as new --to pool:vg-0 --start && says "makes disks only" &&
    run machine recover box -P self: --as new --to pool:vg-0 \
        --place vg-0-data=pool:vg-0/po-ol --verify && says "has its disks" &&
    mount -t ext4 -o ro /dev/vg-0/new-vg-0-root /mnt/back && same /mnt/root/a /mnt/back/a &&
    umount /mnt/back &&
    mount -t ext4 -o ro /dev/vg-0/new-vg-0-data /mnt/back && same /mnt/data/b /mnt/back/b &&
    umount /mnt/back && lvm lvs -o lv_name,pool_lv vg-0/new-vg-0-data | grep -q po-ol
}

a_wizard_finds_this_computer_on_its_volumes() {
    (
        unset LIFEBOAT_REPOSITORY RESTIC_PASSWORD
        export LIFEBOAT_CONFIG=/tmp/etc/lifeboat.toml
        yes '' | head -n 20 | run config generate --wizard -r /tmp/another
        run config validate && says "it is sound; jobs: 1" && grep -q 'uri = "self:"' /tmp/etc/lifeboat.toml &&
        run schedule preview @self --count 1 && run machine ls -P @self && says vg-0-root &&
        run -r @main snapshots
    )
}

if prepare; then
    for sentence in @PROMISES@; do
        verdict $sentence
    done
fi
lvm lvs -a -o lv_name,lv_attr,lv_size,data_percent,lv_tags vg-0
echo "GUEST ended"
sync; poweroff -f
