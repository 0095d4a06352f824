# Clicks into the example window with a real mouse pointer, on the display that xvfb-run gave: after undo, the mask is
# that of the example click for the same clicks. Arguments: WINDOW CLICK NETWORK PHOTOGRAPH FOLDER.
set -eu
mkdir -p "$5"
cd "$5"
rm -f said mask.pgm expected.pgm
"$1" "$3" "$4" mask.pgm >said &
program=$!
trap 'kill $program 2>/dev/null || true' EXIT
window=$(timeout 60 xdotool search --sync --onlyvisible --name '^mfp:' | tail -n 1)

# Does it until the window has said something more. It can miss an event while it is being opened, and take one twice
# where the machine is so busy that it was asked again; but it says what it took.
until_it_says() {
    before=$(wc -l <said)
    while [ "$(wc -l <said)" = "$before" ]; do
        xdotool "$@"
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            kill -0 $program
            [ "$(wc -l <said)" != "$before" ] || sleep 0.3
        done
    done
}
until_it_says mousemove --window "$window" 120 330 click 1
until_it_says mousemove --window "$window" 220 110 click 1
until_it_says mousemove --window "$window" 400 430 click 3
until_it_says key --window "$window" u
xdotool key --window "$window" q
wait $program
trap - EXIT

cat said
grep -q '^-400,430: ' said
grep -q '^undone' said
"$2" "$3" "$4" expected.pgm $(awk -F : '/^[+-]/ {a[n++] = $1} /^undone/ {--n} END {for (i = 0; i < n; ++i) print a[i]}' said)
cmp mask.pgm expected.pgm
