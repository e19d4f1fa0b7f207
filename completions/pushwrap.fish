# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_pushwrap_global_optspecs
    string join \n url= job= l/label= instance= replace env-file= info= max-age= schedule= schedule-margin= u/user= password-file= token-file= H/header= cacert= cert= key= k/insecure proxy= push-timeout= delete-on-success push-interval= require-push prefix= summary= output= remote-write= state-dir= timeout= s/signal= kill-after= success-codes= skip-codes= textfile= textfile-max= no-tree n/dry-run v/verbose q/quiet h/help V/version
end

function __fish_pushwrap_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_pushwrap_global_optspecs) -- $cmd 2>/dev/null
    or begin
        set -e cmd[-1]
        argparse -s (__fish_pushwrap_global_optspecs) -- $cmd 2>/dev/null
    end
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_pushwrap_using_subcommand
    set -l cmd (__fish_pushwrap_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c pushwrap -n "__fish_pushwrap_needs_command" -l url -d 'Pushgateway, or \'none\'; repeatable' -r -f
complete -c pushwrap -n "__fish_pushwrap_needs_command" -l job -d 'Job name [default: file name of COMMAND]' -r -f
complete -c pushwrap -n "__fish_pushwrap_needs_command" -s l -l label -d 'Grouping label; repeatable' -r -f
complete -c pushwrap -n "__fish_pushwrap_needs_command" -l instance -d 'Instance, \'auto\' or \'none\' [default: auto]' -r -f -a "auto\t''
none\t''"
complete -c pushwrap -n "__fish_pushwrap_needs_command" -l env-file -d 'Variables [default: /etc/default/pushwrap]' -r -F
complete -c pushwrap -n "__fish_pushwrap_needs_command" -l info -d 'Label of run_info only; repeatable' -r -f
complete -c pushwrap -n "__fish_pushwrap_needs_command" -l max-age -d 'How old the last success may become, for alerts' -r -f
complete -c pushwrap -n "__fish_pushwrap_needs_command" -l schedule -d 'When the job runs, as in crontab(5), for alerts' -r -f
complete -c pushwrap -n "__fish_pushwrap_needs_command" -l schedule-margin -d 'How late a run may succeed [default: 1h]' -r -f
complete -c pushwrap -n "__fish_pushwrap_needs_command" -s u -l user -d 'Basic authentication at the gateway' -r -f
complete -c pushwrap -n "__fish_pushwrap_needs_command" -l password-file -d 'File with the password of that user' -r -F
complete -c pushwrap -n "__fish_pushwrap_needs_command" -l token-file -d 'File with a bearer token' -r -F
complete -c pushwrap -n "__fish_pushwrap_needs_command" -s H -l header -d 'Further header \'Name: value\'; repeatable' -r -f
complete -c pushwrap -n "__fish_pushwrap_needs_command" -l cacert -d 'Trust these instead of the system\'s roots' -r -F
complete -c pushwrap -n "__fish_pushwrap_needs_command" -l cert -d 'Certificate of our own' -r -F
complete -c pushwrap -n "__fish_pushwrap_needs_command" -l key -d 'Its key, where that is in another file' -r -F
complete -c pushwrap -n "__fish_pushwrap_needs_command" -l proxy -d 'Proxy, instead of http_proxy and the like' -r -f
complete -c pushwrap -n "__fish_pushwrap_needs_command" -l push-timeout -d 'Time for a push, in all [default: 10s]' -r -f
complete -c pushwrap -n "__fish_pushwrap_needs_command" -l push-interval -d 'Push while it runs, or \'off\' [default: 1m]' -r -f -a "10s\t''
1m\t''
5m\t''
off\t''"
complete -c pushwrap -n "__fish_pushwrap_needs_command" -l prefix -d 'Prefix of the run\'s metrics [default: pushwrap_]' -r -f
complete -c pushwrap -n "__fish_pushwrap_needs_command" -l summary -d 'Sum the run up afterwards: text or json' -r -f -a "text\t''
json\t''"
complete -c pushwrap -n "__fish_pushwrap_needs_command" -l output -d 'Textfile for node_exporter; \'-\' is standard error' -r -F
complete -c pushwrap -n "__fish_pushwrap_needs_command" -l remote-write -d 'Receiver of Prometheus remote write' -r -f
complete -c pushwrap -n "__fish_pushwrap_needs_command" -l state-dir -d 'Keep failed pushes and run counts here' -r -f -a "none\t'' (__fish_complete_directories (commandline -ct | string replace -r '^--state-dir=' ''))"
complete -c pushwrap -n "__fish_pushwrap_needs_command" -l timeout -d 'End the command after this long; 0 is never' -r -f
complete -c pushwrap -n "__fish_pushwrap_needs_command" -s s -l signal -d 'Signal that --timeout sends [default: TERM]' -r -f -a "TERM\t''
INT\t''
HUP\t''
QUIT\t''
USR1\t''
USR2\t''
KILL\t''
ALRM\t''
CONT\t''
STOP\t''
ABRT\t''
WINCH\t''
PIPE\t''"
complete -c pushwrap -n "__fish_pushwrap_needs_command" -l kill-after -d 'KILL this long after it [default: 10s]' -r -f
complete -c pushwrap -n "__fish_pushwrap_needs_command" -l success-codes -d 'Exit codes that are a success [default: 0]' -r -f
complete -c pushwrap -n "__fish_pushwrap_needs_command" -l skip-codes -d 'Exit codes that are neither success nor failure' -r -f
complete -c pushwrap -n "__fish_pushwrap_needs_command" -l textfile -d 'Metrics file, directory or glob; repeatable' -r -F
complete -c pushwrap -n "__fish_pushwrap_needs_command" -l textfile-max -d 'Largest metrics file to read [default: 8MiB]' -r -f
complete -c pushwrap -n "__fish_pushwrap_needs_command" -l replace -d 'A successful push replaces the whole group (PUT)'
complete -c pushwrap -n "__fish_pushwrap_needs_command" -s k -l insecure -d 'Do not verify the gateway\'s certificate'
complete -c pushwrap -n "__fish_pushwrap_needs_command" -l delete-on-success -d 'A successful run deletes the group instead'
complete -c pushwrap -n "__fish_pushwrap_needs_command" -l require-push -d 'Exit 125 when only the push failed'
complete -c pushwrap -n "__fish_pushwrap_needs_command" -l no-tree -d 'Do not sample the memory of the process tree'
complete -c pushwrap -n "__fish_pushwrap_needs_command" -s n -l dry-run -d 'Run, print the request, send nothing'
complete -c pushwrap -n "__fish_pushwrap_needs_command" -s v -l verbose -d 'Say what is done; -vv says more'
complete -c pushwrap -n "__fish_pushwrap_needs_command" -s q -l quiet -d 'Say nothing on stderr, not even what failed'
complete -c pushwrap -n "__fish_pushwrap_needs_command" -s h -l help -d 'Print help'
complete -c pushwrap -n "__fish_pushwrap_needs_command" -s V -l version -d 'Print version'
complete -c pushwrap -n "__fish_pushwrap_needs_command" -f -a "push" -d 'Push metrics files, or standard input, without running a command'
complete -c pushwrap -n "__fish_pushwrap_needs_command" -f -a "check" -d 'Judge metrics files as the gateway would'
complete -c pushwrap -n "__fish_pushwrap_needs_command" -f -a "groups" -d 'Show what the gateway holds: a row a group'
complete -c pushwrap -n "__fish_pushwrap_needs_command" -f -a "prune" -d 'Delete groups that nobody has pushed to for long'
complete -c pushwrap -n "__fish_pushwrap_needs_command" -f -a "delete" -d 'Delete this job\'s group from the gateway'
complete -c pushwrap -n "__fish_pushwrap_needs_command" -f -a "flush" -d 'Send what is waiting in the state directory'
complete -c pushwrap -n "__fish_pushwrap_needs_command" -f -a "doctor" -d 'Tell what is configured, from where, and whether it works'
complete -c pushwrap -n "__fish_pushwrap_needs_command" -f -a "install" -d 'Copy this binary, for images without cp'
complete -c pushwrap -n "__fish_pushwrap_needs_command" -f -a "metric" -d 'Write a metric from inside a job'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand push" -l url -d 'Pushgateway, or \'none\'; repeatable' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand push" -l job -d 'Job name' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand push" -s l -l label -d 'Grouping label; repeatable' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand push" -l instance -d 'Instance, \'auto\' or \'none\' [default: auto]' -r -f -a "auto\t''
none\t''"
complete -c pushwrap -n "__fish_pushwrap_using_subcommand push" -l env-file -d 'Variables [default: /etc/default/pushwrap]' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand push" -s u -l user -d 'Basic authentication at the gateway' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand push" -l password-file -d 'File with the password of that user' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand push" -l token-file -d 'File with a bearer token' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand push" -s H -l header -d 'Further header \'Name: value\'; repeatable' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand push" -l cacert -d 'Trust these instead of the system\'s roots' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand push" -l cert -d 'Certificate of our own' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand push" -l key -d 'Its key, where that is in another file' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand push" -l proxy -d 'Proxy, instead of http_proxy and the like' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand push" -l push-timeout -d 'Time for a push, in all [default: 10s]' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand push" -l replace -d 'Replace the whole group (PUT)'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand push" -s k -l insecure -d 'Do not verify the gateway\'s certificate'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand push" -s n -l dry-run -d 'Print the request, send nothing'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand push" -s v -l verbose -d 'Say what is done; -vv says more'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand push" -s q -l quiet -d 'Say nothing on stderr, not even what failed'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand push" -s h -l help -d 'Print help'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand check" -l url -d 'Pushgateway; repeatable' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand check" -l env-file -d 'Variables [default: /etc/default/pushwrap]' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand check" -s u -l user -d 'Basic authentication at the gateway' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand check" -l password-file -d 'File with the password of that user' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand check" -l token-file -d 'File with a bearer token' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand check" -s H -l header -d 'Further header \'Name: value\'; repeatable' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand check" -l cacert -d 'Trust these instead of the system\'s roots' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand check" -l cert -d 'Certificate of our own' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand check" -l key -d 'Its key, where that is in another file' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand check" -l proxy -d 'Proxy, instead of http_proxy and the like' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand check" -l push-timeout -d 'Time for each request [default: 10s]' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand check" -l fix -d 'Print the repaired file on standard output'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand check" -l json -d 'Print the findings as JSON on standard output'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand check" -s k -l insecure -d 'Do not verify the gateway\'s certificate'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand check" -s v -l verbose -d 'Say what is done; -vv says more'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand check" -s q -l quiet -d 'Say nothing on stderr, not even what failed'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand check" -s h -l help -d 'Print help'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand groups" -l url -d 'Pushgateway; repeatable' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand groups" -l env-file -d 'Variables [default: /etc/default/pushwrap]' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand groups" -l job -d 'Only groups of this job' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand groups" -s l -l label -d 'Only groups with this label; repeatable' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand groups" -l prefix -d 'Prefix of the runs\' metrics [default: pushwrap_]' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand groups" -s u -l user -d 'Basic authentication at the gateway' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand groups" -l password-file -d 'File with the password of that user' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand groups" -l token-file -d 'File with a bearer token' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand groups" -s H -l header -d 'Further header \'Name: value\'; repeatable' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand groups" -l cacert -d 'Trust these instead of the system\'s roots' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand groups" -l cert -d 'Certificate of our own' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand groups" -l key -d 'Its key, where that is in another file' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand groups" -l proxy -d 'Proxy, instead of http_proxy and the like' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand groups" -l push-timeout -d 'Time for each request [default: 10s]' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand groups" -l json -d 'Print JSON: an array, one group a line'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand groups" -s k -l insecure -d 'Do not verify the gateway\'s certificate'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand groups" -s v -l verbose -d 'Say what is done; -vv says more'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand groups" -s q -l quiet -d 'Say nothing on stderr, not even what failed'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand groups" -s h -l help -d 'Print help'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand prune" -l url -d 'Pushgateway; repeatable' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand prune" -l env-file -d 'Variables [default: /etc/default/pushwrap]' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand prune" -l older-than -d 'Only groups that nobody pushed to for longer' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand prune" -l job -d 'Only groups of this job' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand prune" -s l -l label -d 'Only groups with this label; repeatable' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand prune" -s u -l user -d 'Basic authentication at the gateway' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand prune" -l password-file -d 'File with the password of that user' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand prune" -l token-file -d 'File with a bearer token' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand prune" -s H -l header -d 'Further header \'Name: value\'; repeatable' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand prune" -l cacert -d 'Trust these instead of the system\'s roots' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand prune" -l cert -d 'Certificate of our own' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand prune" -l key -d 'Its key, where that is in another file' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand prune" -l proxy -d 'Proxy, instead of http_proxy and the like' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand prune" -l push-timeout -d 'Time for each request [default: 10s]' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand prune" -s n -l dry-run -d 'Print what would be deleted, delete nothing'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand prune" -s k -l insecure -d 'Do not verify the gateway\'s certificate'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand prune" -s v -l verbose -d 'Say what is done; -vv says more'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand prune" -s q -l quiet -d 'Say nothing on stderr, not even what failed'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand prune" -s h -l help -d 'Print help'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand delete" -l url -d 'Pushgateway; repeatable' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand delete" -l env-file -d 'Variables [default: /etc/default/pushwrap]' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand delete" -l job -d 'Job name' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand delete" -s l -l label -d 'Grouping label; repeatable' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand delete" -l instance -d 'Instance, \'auto\' or \'none\' [default: auto]' -r -f -a "auto\t''
none\t''"
complete -c pushwrap -n "__fish_pushwrap_using_subcommand delete" -s u -l user -d 'Basic authentication at the gateway' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand delete" -l password-file -d 'File with the password of that user' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand delete" -l token-file -d 'File with a bearer token' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand delete" -s H -l header -d 'Further header \'Name: value\'; repeatable' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand delete" -l cacert -d 'Trust these instead of the system\'s roots' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand delete" -l cert -d 'Certificate of our own' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand delete" -l key -d 'Its key, where that is in another file' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand delete" -l proxy -d 'Proxy, instead of http_proxy and the like' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand delete" -l push-timeout -d 'Time for each request [default: 10s]' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand delete" -s n -l dry-run -d 'Print the request, send nothing'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand delete" -s k -l insecure -d 'Do not verify the gateway\'s certificate'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand delete" -s v -l verbose -d 'Say what is done; -vv says more'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand delete" -s q -l quiet -d 'Say nothing on stderr, not even what failed'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand delete" -s h -l help -d 'Print help'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand flush" -l url -d 'Pushgateway; repeatable' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand flush" -l env-file -d 'Variables [default: /etc/default/pushwrap]' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand flush" -l remote-write -d 'Receiver of Prometheus remote write' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand flush" -l state-dir -d 'Where it waits [default: /var/lib/pushwrap]' -r -f -a "none\t'' (__fish_complete_directories (commandline -ct | string replace -r '^--state-dir=' ''))"
complete -c pushwrap -n "__fish_pushwrap_using_subcommand flush" -s u -l user -d 'Basic authentication at the gateway' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand flush" -l password-file -d 'File with the password of that user' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand flush" -l token-file -d 'File with a bearer token' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand flush" -s H -l header -d 'Further header \'Name: value\'; repeatable' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand flush" -l cacert -d 'Trust these instead of the system\'s roots' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand flush" -l cert -d 'Certificate of our own' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand flush" -l key -d 'Its key, where that is in another file' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand flush" -l proxy -d 'Proxy, instead of http_proxy and the like' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand flush" -l push-timeout -d 'Time for a push, in all [default: 10s]' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand flush" -s n -l dry-run -d 'Print what waits, send nothing'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand flush" -s k -l insecure -d 'Do not verify the gateway\'s certificate'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand flush" -s v -l verbose -d 'Say what is done; -vv says more'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand flush" -s q -l quiet -d 'Say nothing on stderr, not even what failed'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand flush" -s h -l help -d 'Print help'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l url -d 'Pushgateway, or \'none\'; repeatable' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l job -d 'Job name [default: file name of COMMAND]' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -s l -l label -d 'Grouping label; repeatable' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l instance -d 'Instance, \'auto\' or \'none\' [default: auto]' -r -f -a "auto\t''
none\t''"
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l env-file -d 'Variables [default: /etc/default/pushwrap]' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l info -d 'Label of run_info only; repeatable' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l max-age -d 'How old the last success may become, for alerts' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l schedule -d 'When the job runs, as in crontab(5), for alerts' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l schedule-margin -d 'How late a run may succeed [default: 1h]' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -s u -l user -d 'Basic authentication at the gateway' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l password-file -d 'File with the password of that user' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l token-file -d 'File with a bearer token' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -s H -l header -d 'Further header \'Name: value\'; repeatable' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l cacert -d 'Trust these instead of the system\'s roots' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l cert -d 'Certificate of our own' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l key -d 'Its key, where that is in another file' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l proxy -d 'Proxy, instead of http_proxy and the like' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l push-timeout -d 'Time for a push, in all [default: 10s]' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l push-interval -d 'Push while it runs, or \'off\' [default: 1m]' -r -f -a "10s\t''
1m\t''
5m\t''
off\t''"
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l prefix -d 'Prefix of the run\'s metrics [default: pushwrap_]' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l summary -d 'Sum the run up afterwards: text or json' -r -f -a "text\t''
json\t''"
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l output -d 'Textfile for node_exporter; \'-\' is standard error' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l remote-write -d 'Receiver of Prometheus remote write' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l state-dir -d 'Keep failed pushes and run counts here' -r -f -a "none\t'' (__fish_complete_directories (commandline -ct | string replace -r '^--state-dir=' ''))"
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l timeout -d 'End the command after this long; 0 is never' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -s s -l signal -d 'Signal that --timeout sends [default: TERM]' -r -f -a "TERM\t''
INT\t''
HUP\t''
QUIT\t''
USR1\t''
USR2\t''
KILL\t''
ALRM\t''
CONT\t''
STOP\t''
ABRT\t''
WINCH\t''
PIPE\t''"
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l kill-after -d 'KILL this long after it [default: 10s]' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l success-codes -d 'Exit codes that are a success [default: 0]' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l skip-codes -d 'Exit codes that are neither success nor failure' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l textfile -d 'Metrics file, directory or glob; repeatable' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l textfile-max -d 'Largest metrics file to read [default: 8MiB]' -r -f
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l json -d 'Print JSON: one object'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l replace -d 'A successful push replaces the whole group (PUT)'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -s k -l insecure -d 'Do not verify the gateway\'s certificate'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l delete-on-success -d 'A successful run deletes the group instead'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l require-push -d 'Exit 125 when only the push failed'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -l no-tree -d 'Do not sample the memory of the process tree'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -s n -l dry-run -d 'Run, print the request, send nothing'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -s v -l verbose -d 'Say what is done; -vv says more'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -s q -l quiet -d 'Say nothing on stderr, not even what failed'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand install" -s h -l help -d 'Print help'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand metric; and not __fish_seen_subcommand_from set add observe time" -s h -l help -d 'Print help'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand metric; and not __fish_seen_subcommand_from set add observe time" -f -a "set" -d 'Set a gauge'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand metric; and not __fish_seen_subcommand_from set add observe time" -f -a "add" -d 'Add to a counter'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand metric; and not __fish_seen_subcommand_from set add observe time" -f -a "observe" -d 'Observe a value in a histogram or summary'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand metric; and not __fish_seen_subcommand_from set add observe time" -f -a "time" -d 'Run a command and take its time in seconds'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand metric; and __fish_seen_subcommand_from set" -s l -l label -d 'Label of the series; repeatable' -r
complete -c pushwrap -n "__fish_pushwrap_using_subcommand metric; and __fish_seen_subcommand_from set" -l help-text -d 'What the metric means, for its HELP line' -r
complete -c pushwrap -n "__fish_pushwrap_using_subcommand metric; and __fish_seen_subcommand_from set" -l textfile -d 'Metrics file [default: $PUSHWRAP_TEXTFILE]' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand metric; and __fish_seen_subcommand_from set" -s v -l verbose -d 'Say when the file is written in place'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand metric; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand metric; and __fish_seen_subcommand_from add" -s l -l label -d 'Label of the series; repeatable' -r
complete -c pushwrap -n "__fish_pushwrap_using_subcommand metric; and __fish_seen_subcommand_from add" -l help-text -d 'What the metric means, for its HELP line' -r
complete -c pushwrap -n "__fish_pushwrap_using_subcommand metric; and __fish_seen_subcommand_from add" -l textfile -d 'Metrics file [default: $PUSHWRAP_TEXTFILE]' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand metric; and __fish_seen_subcommand_from add" -s v -l verbose -d 'Say when the file is written in place'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand metric; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand metric; and __fish_seen_subcommand_from observe" -s l -l label -d 'Label of the series; repeatable' -r
complete -c pushwrap -n "__fish_pushwrap_using_subcommand metric; and __fish_seen_subcommand_from observe" -l help-text -d 'What the metric means, for its HELP line' -r
complete -c pushwrap -n "__fish_pushwrap_using_subcommand metric; and __fish_seen_subcommand_from observe" -l textfile -d 'Metrics file [default: $PUSHWRAP_TEXTFILE]' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand metric; and __fish_seen_subcommand_from observe" -l buckets -d 'Upper bounds, such as 0.1,1,10 [default: 0.005 to 10]' -r
complete -c pushwrap -n "__fish_pushwrap_using_subcommand metric; and __fish_seen_subcommand_from observe" -l type -d 'histogram or summary [default: histogram]' -r -f -a "histogram\t''
summary\t''"
complete -c pushwrap -n "__fish_pushwrap_using_subcommand metric; and __fish_seen_subcommand_from observe" -s v -l verbose -d 'Say when the file is written in place'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand metric; and __fish_seen_subcommand_from observe" -s h -l help -d 'Print help'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand metric; and __fish_seen_subcommand_from time" -s l -l label -d 'Label of the series; repeatable' -r
complete -c pushwrap -n "__fish_pushwrap_using_subcommand metric; and __fish_seen_subcommand_from time" -l help-text -d 'What the metric means, for its HELP line' -r
complete -c pushwrap -n "__fish_pushwrap_using_subcommand metric; and __fish_seen_subcommand_from time" -l textfile -d 'Metrics file [default: $PUSHWRAP_TEXTFILE]' -r -F
complete -c pushwrap -n "__fish_pushwrap_using_subcommand metric; and __fish_seen_subcommand_from time" -l buckets -d 'Upper bounds in seconds, such as 0.1,1,10 [default: 0.005 to 10]' -r
complete -c pushwrap -n "__fish_pushwrap_using_subcommand metric; and __fish_seen_subcommand_from time" -l type -d 'gauge, histogram or summary [default: gauge]' -r -f -a "gauge\t''
histogram\t''
summary\t''"
complete -c pushwrap -n "__fish_pushwrap_using_subcommand metric; and __fish_seen_subcommand_from time" -s v -l verbose -d 'Say when the file is written in place'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand metric; and __fish_seen_subcommand_from time" -s h -l help -d 'Print help'
complete -c pushwrap -n "__fish_pushwrap_using_subcommand metric; and __fish_seen_subcommand_from set add observe time" -f -a "(pushwrap metric names 2>/dev/null)"
function __fish_pushwrap_command
    set -l words (commandline -opc) (commandline -ct)
    set -l at (contains -i -- -- $words); or return 1
    set -l command $words[(math $at + 1)..-1]
    complete -C (string join ' ' -- (string escape -- $command[1..-2]) $command[-1])
end
complete -c pushwrap -n "contains -- -- (commandline -opc)" -x -a "(__fish_pushwrap_command)"
