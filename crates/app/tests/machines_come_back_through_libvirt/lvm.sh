#!/bin/sh
# Answers as LVM does for one volume, the file `vda` in $LVM_FOLDER, whose snapshots are copies
# of it: a file and its tags in a file beside it.
set -eu
cd "$LVM_FOLDER"
verb=$1; shift

row() { # name, attributes, origin, percent, tags
    printf '{"lv_uuid":"id-%s","lv_name":"%s","vg_name":"vg","lv_path":"%s/%s",' "$1" "$1" "$PWD" "$1"
    printf '"lv_dm_path":"/dev/mapper/vg-%s","lv_attr":"%s","lv_size":"%s",' "$1" "$2" "$size"
    printf '"origin":"%s","pool_lv":"","thin_id":"","data_percent":"%s",' "$3" "$4"
    printf '"metadata_percent":"","lv_snapshot_invalid":"","lv_health_status":"",'
    printf '"lv_tags":"%s","lv_kernel_major":"-1","lv_kernel_minor":"-1"}' "$5"
}

size=$(stat -c %s vda)
case $verb in
lvs)
    printf '{"report":[{"lv":['; row vda -wi-ao---- "" "" ""
    for tags in *.tags; do
        [ -e "$tags" ] && printf , && row "${tags%.tags}" sri-a-s--- vda 1.00 "$(cat "$tags")"
    done
    printf ']}]}\n'
    ;;
vgs) echo '{"report":[{"vg":[{"vg_name":"vg","vg_free":"1073741824","vg_extent_size":"4194304"}]}]}' ;;
lvcreate)
    name=; tags=
    while [ $# -gt 0 ]; do
        case $1 in
        -n) name=$2; shift ;;
        --addtag) tags=$tags${tags:+,}$2; shift ;;
        esac
        shift
    done
    cp vda "$name"; printf %s "$tags" > "$name.tags"
    ;;
lvremove) for name; do :; done; rm "${name#vg/}" "${name#vg/}.tags" ;;
*) echo "not known: $verb" >&2; exit 3 ;;
esac
