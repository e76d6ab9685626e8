#!/bin/sh
# Plays the program that looks into points: tells what a small machine would hold, and some of
# what a hostile one could.
all="$*"
for place; do :; done
entry() { printf '{"name":"%s","type":"%s","mode":%s,"uid":0,"gid":0,"size":%s,"mtime":1763000000,"link_target":%s%s}' "$@"; }
folder() { printf '{"message_type":"folder","path":"%s","is_folder":true,"faults":[],"entries":[' "$1"; }

case $all in
*"files dump"*endless*) exec yes endless ;;
*"files dump"*refused*)
    echo '{"message_type":"exit_error","code":10,"message":"reading /refused: there is no such file"}' >&2
    exit 10 ;;
*"files dump"*) printf 'bytes of %s' "$place"; exit 0 ;;
*" dump "*) printf '{"format":1}'; exit 0 ;;
*" files ls "*:/refused)
    echo 'warning: something else' >&2
    echo '{"message_type":"exit_error","code":26,"message":"booting <b>the rescue VM</b>: no kernel"}' >&2
    exit 26 ;;
*" files ls "*:/many)
    folder /many
    awk 'BEGIN { for (i = 0; i < 100000; i++) printf "%s{\"name\":\"f%06d\",\"type\":\"file\",\"mode\":420,\"uid\":0,\"gid\":0,\"size\":%d,\"mtime\":1763000000,\"link_target\":null}", (i ? "," : ""), i, i }'
    echo ']}'; exit 0 ;;
*" files ls "*)
    echo '[{"name":"vda1","size":1073741824,"content":"vfat","label":"EFI","uuid":"","is_readable":true,"mounted_at":"/boot/efi","note":""},{"name":"vda2","size":21474836480,"content":"ext4","label":"root","uuid":"","is_readable":true,"mounted_at":"/","note":""},{"name":"vdb","size":8589934592,"content":"swap","label":"","uuid":"","is_readable":false,"mounted_at":null,"note":"holds no files"}]'
    folder /; entry bin symlink 511 7 '"usr/bin"'; printf ,; entry etc dir 493 4096 null; printf ,
    entry notes.txt file 420 2048 null; echo ']}'
    folder /etc; entry hosts file 420 221 null; printf ,
    entry '<script>alert(1)<\/script>\u202egpj' file 384 9 null; printf ,
    entry 'f\ufffd' file 420 12 null ',"name_bytes":"66ff"'; echo ']}'
    exit 0 ;;
*) # ls of a snapshot
    echo '{"message_type":"snapshot","id":"x","short_id":"x","time":"","tree":"","hostname":"web01","paths":[],"tags":[]}'
    echo '{"message_type":"node","name":"disks","type":"dir","path":"/disks","uid":0,"gid":0,"size":0,"mode":493,"mtime":""}'
    echo '{"message_type":"node","name":"vda.raw","type":"file","path":"/disks/vda.raw","uid":0,"gid":0,"size":22548578304,"mode":420,"mtime":""}'
    echo '{"message_type":"node","name":"lifeboat.json","type":"file","path":"/lifeboat.json","uid":0,"gid":0,"size":1834,"mode":420,"mtime":""}' ;;
esac
