#!/bin/sh
# The well-known "hello" job: it greets, and leaves a counter and a timer of its own in the file that pushwrap names.
set -eu

start=$(date +%s%N)
greetings=0
for name in Ada Grace Barbara; do
    echo "hello, $name"
    greetings=$((greetings + 1))
done
took=$(($(date +%s%N) - start))

cat >"$PUSHWRAP_TEXTFILE" <<METRICS
# HELP hello_counter_total Greetings given.
# TYPE hello_counter_total counter
hello_counter_total $greetings
# HELP hello_process_seconds How long the greeting took.
# TYPE hello_process_seconds gauge
hello_process_seconds $((took / 1000000000)).$(printf %09d $((took % 1000000000)))
METRICS
