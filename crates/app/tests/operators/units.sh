# What an operator does with the package on a computer that systemd has booted. The judge is
# outside: it wants a line `VERDICT yes SENTENCE` for every sentence, and `GUEST ended`.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
C=/etc/lifeboat/lifeboat.toml

told() { echo "$ $*"; }
# Runs a command; what it says is kept in /tmp/said.
run() { told "$@"; "$@" > /tmp/said 2>&1; code=$?; cat /tmp/said; return $code; }
says() { grep -q -- "$1" /tmp/said || { echo "not said: $1"; return 1; }; }
verdict() {
    if "$1"; then echo "VERDICT yes $1"; else echo "VERDICT NO $1"; fi
    echo "TOOK $1 until $(cut -d' ' -f1 /proc/uptime)"
}
# Tries for ten minutes.
soon() {
    for second in $(seq 600); do "$@" > /tmp/tried 2>&1 && return 0; sleep 1; done
    echo "never: $*"; cat /tmp/tried; return 1
}
unit() { systemctl show -P "$1" "${2:-lifeboat}"; }
is() { [ "$(unit "$1")" = "$2" ] || { echo "$1 is $(unit "$1"), not $2"; return 1; }; }
# Journals of a unit since a mark was set.
mark() { journalctl --sync; cursor=$(journalctl -n 0 --show-cursor | sed -n 's/^-- cursor: //p'); }
journal() { journalctl --sync; journalctl -u "$1" --after-cursor "$cursor" -o cat; }
wrote() { journal "$1" | grep -q -- "$2"; }
tells() { wrote "$1" "$2" || { echo "$1 did not write: $2"; journal "$1"; return 1; }; }
answers() {
    curl -sS --fail -w '\n' --cacert /var/lib/lifeboat/tls/ca.pem https://localhost:8443/api/v1/health
}
drop_in() { mkdir -p "/etc/systemd/system/$1.d"; cat > "/etc/systemd/system/$1.d/$2.conf"; }
points() { lifeboat -q -r /var/backups/main -p /srv/password --json snapshots | grep -o '"time"' | wc -l; }
job() {
    printf '[jobs.%s]\nplatform = "%s"\nrepository = "%s"\npolicy = "all"\n' "$1" "$2" "$3"
}

configuration() {
    cat << 'TOML'
site = "box"
[repositories.main]
place = "/var/backups/main"
password_credential = "main"
[repositories.outside]
place = "/backup/outside"
password_credential = "main"
[platforms.files]
uri = "plain:/var/lib/disk.img"
[platforms.slow]
uri = "plain:/var/lib/slow.img"
[platforms.volumes]
uri = "lvm:vg0/data"
[platforms.kvm]
uri = "qemu:///system"
[policies.all]
keep_last = 9
retry_times = 0
TOML
    job files files main
    job volumes volumes main
    job outside files outside
    job slow slow main
    echo 'bandwidth = "1M"'
    job kvm kvm main
    job hooked files main
    cat << 'TOML'
[[jobs.hooked.pre_snapshot]]
run = ["sh", "-c", "date > /etc/application/begun && su -s /bin/sh nobody -c true"]
TOML
}

prepare() {
    echo "volumes: $(cat /proc/modules | grep -c '^dm_')"
    head -c 8M /dev/urandom > /var/lib/disk.img && head -c 64M /dev/urandom > /var/lib/slow.img &&
    mkdir /etc/application &&
    run pvcreate -qq /dev/vdb && run vgcreate -qq vg0 /dev/vdb &&
    run lvcreate -qq -y -L 32M -n data vg0 && mke2fs -q /dev/vg0/data &&
    mount /dev/vg0/data /mnt && head -c 4M /dev/urandom > /mnt/a && sync
}

the_package_starts_nothing() {
    run dpkg -i /lifeboat.deb && is LoadState loaded && is UnitFileState disabled &&
    is ActiveState inactive && [ "$(stat -c %a /var/lib/lifeboat)" = 700 ] &&
    run systemctl start lifeboat && is ActiveState inactive && is ConditionResult no
}

the_service_is_active_when_it_answers() {
    install -m 600 /srv/password /etc/lifeboat/main.password
    for unit in lifeboat.service lifeboat-run@.service; do
        printf '[Service]\nLoadCredential=main:/etc/lifeboat/main.password\n' | drop_in $unit secret
    done
    configuration > $C; chmod 600 $C
    run systemctl daemon-reload && mark && run systemctl enable --now lifeboat &&
    is ActiveState active && run answers && run systemctl status --no-pager lifeboat &&
    says 'Status: "6 jobs of /etc/lifeboat/lifeboat.toml"' &&
    tells lifeboat 'lifeboat serves https://127.0.0.1:8443/'
}

# Credentials are given to units, and doctor runs outside of them.
doctor_finds_nothing_wrong() {
    printf 'password_file = "/etc/lifeboat/main.password"\n' > /tmp/by-file
    sed 's/^password_credential.*/password_file = "\/etc\/lifeboat\/main.password"/' $C > /tmp/c.toml
    run lifeboat -v --config /tmp/c.toml doctor; code=$?
    says 'well .* service.unit' && says 'well .* service.node' && says 'kvm: qemu:///system shows 0 machines' &&
    [ $code = 0 ]
}

machines_are_backed_up_inside_the_unit() {
    mark; before=$(points)
    for name in files volumes; do run lifeboat run --detach $name || return 1; done
    soon more_points $((before + 2)) || { journal lifeboat; lifeboat status; return 1; }
    run lifeboat status; says 'Machine ' && says 'met\|unknown' &&
    run lvs --noheadings -o lv_name vg0 && ! says lifeboat-
}
more_points() { [ "$(points)" -ge "$1" ]; }

a_timer_runs_a_job() {
    mark; before=$(points)
    printf '[Timer]\nOnCalendar=\nOnActiveSec=1s\nRandomizedDelaySec=0\n' |
        drop_in lifeboat-run@files.timer soon
    run systemctl daemon-reload && run systemctl start lifeboat-run@files.timer &&
    soon more_points $((before + 1)) && soon tells lifeboat-run@files 'backup .*: done' &&
    soon is_done lifeboat-run@files && journal lifeboat-run@files
    run systemctl start lifeboat-run@kvm; journal lifeboat-run@kvm
    ! wrote lifeboat-run@kvm 'cannot connect' && ! wrote lifeboat-run@kvm 'not permitted'
}
is_alive() { ls -l /proc/[0-9]*/exe 2> /dev/null | grep bin/lifeboat; }
is_done() { [ "$(unit Result "$1")" = success ] && [ "$(unit ActiveState "$1")" = inactive ]; }

places_and_hooks_outside_need_a_drop_in() {
    mark
    run systemctl start --no-block lifeboat-run@outside &&
    soon tells lifeboat-run@outside 'ReadWritePaths= in a drop-in' &&
    run systemctl stop lifeboat-run@outside &&
    ! run systemctl start lifeboat-run@hooked && tells lifeboat-run@hooked 'Read-only file system' ||
        return 1
    journal 'lifeboat-run@*'
    printf '[Service]\nReadWritePaths=/backup /etc/application\nCapabilityBoundingSet=CAP_SETUID CAP_SETGID\n' |
        drop_in lifeboat-run@.service wider
    run systemctl daemon-reload && mark && run systemctl start lifeboat-run@outside &&
    run systemctl start lifeboat-run@hooked; code=$?
    journal 'lifeboat-run@*'
    [ $code = 0 ] && [ -s /etc/application/begun ]
}

a_reload_takes_what_is_sound_and_tells_what_is_not() {
    mark; job later files main >> $C
    run systemctl reload lifeboat && soon tells lifeboat 'the configuration was read anew' ||
        { journal lifeboat; return 1; }
    mark; before=$(points); cp $C /tmp/sound; echo 'broken' >> $C
    ! run systemctl reload lifeboat && is ActiveState active && tells lifeboat 'lifeboat.toml:' &&
    journal lifeboat && run lifeboat --config /tmp/sound run --detach later && soon more_points $((before + 1))
    code=$?; cp /tmp/sound $C; return $code
}

a_killed_service_comes_back() {
    mark; run systemctl kill -s KILL lifeboat && soon is NRestarts 1 && soon is ActiveState active &&
    run answers && journal lifeboat
}

an_upgrade_starts_it_anew() {
    mark; old=$(unit MainPID); before=$(points)
    # Between the new files and the new start, children are still the old program.
    cp /usr/bin/lifeboat /usr/bin/lifeboat.new && mv /usr/bin/lifeboat.new /usr/bin/lifeboat &&
    run lifeboat run --detach files && soon more_points $((before + 1)) &&
    run dpkg -i /lifeboat.deb && is ActiveState active && [ "$(unit MainPID)" != "$old" ] &&
    run answers && is UnitFileState enabled
}

a_stop_gives_tasks_back_in_time() {
    mark; before=$(points)
    run lifeboat run --detach slow && soon slow_runs && run systemctl stop lifeboat; journal lifeboat
    is Result success && is ActiveState inactive && [ "$(points)" = "$before" ] &&
    ! is_alive && sed -i 's/^bandwidth.*//' $C && run systemctl start lifeboat &&
    soon more_points $((before + 1))
}
slow_runs() { lifeboat status | grep -A1 '^Running' | grep -q '%'; }

the_package_goes_and_leaves_what_people_made() {
    mark; before=$(points)
    run lifeboat --version; run dpkg -r lifeboat && ! run answers && ! is_alive && run dpkg -P lifeboat < /dev/null &&
    [ -s $C ] && [ -s /var/backups/main/config ] && [ -s /var/lib/lifeboat/catalog.sqlite ] &&
    [ ! -e /etc/systemd/system/multi-user.target.wants/lifeboat.service ] &&
    ! systemctl cat lifeboat.service > /dev/null 2>&1
}

if prepare; then
    for sentence in "$@"; do
        verdict "$sentence"
    done
fi
echo "JOURNAL"; journalctl -b -p warning -o cat | tail -40; journalctl -b -u lifeboat -o short | tail -80
echo "GUEST ended"
sync; systemctl poweroff -ff
