# Starts a command again as long as it exits with 75, 20 times at most: it was interrupted, or lost another worker, and the same
# command goes on. For Vertex AI, where a job may end as soon as a container fails. SIGTERM reaches the command, and ends this.
#   bash until_done.sh ssl-two-tower train ...
stopped= told=
trap 'stopped=1 told=$!; kill -TERM "$told" 2>/dev/null' TERM
for _ in {1..20}; do
  "$@" &
  running=$!
  # A signal that came before it was started has been told to nobody.
  if [ -n "$stopped" ] && [ "$told" != "$running" ]; then kill -TERM "$running"; fi
  wait "$running"
  code=$?
  while kill -0 "$running" 2>/dev/null; do # the signal ended the wait alone; the command still saves
    wait "$running"
    code=$?
  done
  if [ "$code" != 75 ] || [ -n "$stopped" ]; then break; fi
done
exit "$code"
