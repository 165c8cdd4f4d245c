# Shared by the scripts that build a test's counterparts from source; sourced, not run.
#
# What is built is kept in ${XDG_CACHE_HOME:-~/.cache}/tagscope, one directory per version, outside the checkout.

tests=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tagscope

say() { echo "$*" >&2; }

need_go() {
    command -v go >/dev/null || { say "Go is needed to build what the tests run against: see tests/cluster/go.mod for its version"; exit 1; }
}

# The version that DIR's go.mod requires of MODULE, without the v.
version() { # DIR MODULE
    local found
    found=$(sed -nE "s|^(require)?[[:space:]]*$2 v([^ ]+).*|\2|p" "$tests/$1/go.mod")
    [[ -n $found ]] || { say "tests/$1/go.mod does not require $2"; exit 1; }
    echo "$found"
}

# Runs a build with a count of the compiled packages as its progress; its output only when it fails.
with_progress() { # WHAT COMMAND...
    local what=$1 log started=$SECONDS
    shift
    log=$(mktemp)
    if "$@" 2>&1 | tee "$log" | awk -v what="$what" -v tty="$([[ -t 2 ]] && echo 1 || echo 0)" '
        { if (tty) printf "\r  %s: %d packages", what, NR; else if (NR % 250 == 0) printf "  %s: %d packages\n", what, NR; fflush() }
        END { if (tty && NR) printf "\r\033[K" }' >&2
    then
        say "  $what: built in $((SECONDS - started)) s"
        rm -f "$log"
    else
        tail -n 40 "$log" >&2
        say "  $what: the build failed; all it said is in $log"
        return 1
    fi
}

# Builds PACKAGE of the module in DIR into OUTPUT, under its final name only when it is whole.
go_build() { # DIR PACKAGE OUTPUT LDFLAGS
    mkdir -p "$(dirname "$3")"
    local temporary
    rm -f "$3".?????? # What a build that was killed has left; the lock is ours.
    temporary=$(mktemp "$3.XXXXXX")
    if CGO_ENABLED=0 go -C "$1" build -v -trimpath -buildvcs=false -ldflags "$4" -o "$temporary" "$2"; then
        chmod 755 "$temporary"
        mv "$temporary" "$3"
    else
        rm -f "$temporary"
        return 1
    fi
}

# Runs a build unless its OUTPUT is there. One at a time; the second one finds what the first has built.
once() { # NAME OUTPUT COMMAND...
    local name=$1 output=$2
    shift 2
    [[ -x $output ]] && return
    mkdir -p "$cache"
    exec 9>"$cache/build.lock"
    flock --nonblock 9 || { say "  $name: waiting for another build"; flock 9; }
    [[ -x $output ]] || with_progress "$name" "$@"
    exec 9>&-
}
