#!/bin/sh
# A backup that measures itself: pushwrap --job backup -- backup.sh TARGET DIRECTORY...
# Run by hand it does the same, and says that its metrics go nowhere.
set -eu

metric() { pushwrap metric "$@"; }

target=$1
shift
mkdir -p "$target"

# Archives have the names of their directories.
names=/
for directory in "$@"; do
    name=$(basename "$directory")
    case $names in
    *"/$name/"*)
        echo "backup.sh: two directories are named '$name': one archive would replace the other" >&2
        exit 2
        ;;
    esac
    names=$names$name/
done

for directory in "$@"; do
    volume=$(basename "$directory")
    archive=$target/$volume.tar.gz

    # A histogram of a step that repeats; the exit status is tar's.
    metric time backup_archive_seconds --type histogram --buckets 1,10,60,600,3600 \
        --help-text 'Time to write one archive.' -- tar -czf "$archive.new" -C "$(dirname "$directory")" "$volume"
    mv "$archive.new" "$archive"

    # A counter over all volumes, and a gauge for each.
    metric add backup_files "$(find "$directory" -type f | wc -l)" --help-text 'Files saved.'
    metric set backup_archive_bytes "$(wc -c <"$archive")" -l volume="$volume" --help-text 'Size of the archive.'
done

# A gauge of a step that is there once.
metric time backup_verify_seconds --help-text 'Time to read all archives again.' -- gzip -t "$target"/*.tar.gz
