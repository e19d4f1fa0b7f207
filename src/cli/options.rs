//! The options by group, in the order of `--help`. The environment variable of each is `PUSHWRAP_` and its long name in
//! capitals, made by `config` from that name, so that there is one source for both.

#![allow(clippy::doc_markdown, reason = "the doc comments are the help texts, where Markdown means nothing")]

use std::path::PathBuf;

use clap::{ArgAction, Args};

/// Where the metrics go, and under which grouping key.
#[derive(Debug, Args)]
#[command(next_help_heading = "Where to")]
pub struct DestinationOptions {
    /// Pushgateway, or 'none'; repeatable
    ///
    /// The base URL, as http://pushgateway:9091 or gateway.example/prefix; without a scheme it is http. Several
    /// gateways are pushed to at once, each with its own result. Without any the metrics are printed on standard error;
    /// 'none' reports nowhere and says nothing. User and password in the URL become basic authentication.
    #[arg(long, value_name = "URL")]
    pub url: Vec<String>,
    /// Job name [default: file name of COMMAND]
    ///
    /// The job label of the grouping key. Commands that run others (sh, python3, env) deserve a name of their own: all
    /// jobs that they run would share one group.
    #[arg(long, value_name = "NAME")]
    pub job: Option<String>,
    /// Grouping label; repeatable
    ///
    /// Part of the grouping key: a different value makes a different group, and the Pushgateway never forgets one. What
    /// changes from run to run belongs to --info. A label without a value is left out.
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub label: Vec<String>,
    /// Instance, 'auto' or 'none' [default: auto]
    ///
    /// The instance label of the grouping key. auto is the host name on a permanent host, and nothing in a container, in
    /// Kubernetes or in CI, where host names are new in every run.
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    pub instance: Option<String>,
    /// A successful push replaces the whole group (PUT)
    ///
    /// The push of a successful run is a PUT: metrics that it does not contain are gone from the group afterwards.
    /// Without it every push is a POST, which replaces only the metrics it contains.
    #[arg(long, hide_short_help = true)]
    pub replace: bool,
    /// Variables [default: /etc/default/pushwrap]
    ///
    /// A file of PUSHWRAP_ variables, one KEY=VALUE a line; quotes around a value are taken off, lines that begin with
    /// # or ; are comments. The environment comes before it; 'none' does without the default one.
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub env_file: Option<PathBuf>,
}

/// What the metrics say about the run besides its measurements.
#[derive(Debug, Args)]
#[command(next_help_heading = "What about")]
pub struct AboutOptions {
    /// Label of run_info only; repeatable
    ///
    /// For what identifies one run: commit, branch, pod, pipeline.
    #[arg(long, value_name = "NAME=VALUE", hide_short_help = true)]
    pub info: Vec<String>,
    /// How old the last success may become, for alerts
    ///
    /// Becomes the metric pushwrap_max_age_seconds, so that one alert rule can watch every job: time() -
    /// pushwrap_last_success_timestamp_seconds > pushwrap_max_age_seconds. 26h suits a daily job.
    #[arg(long, value_name = "DURATION")]
    pub max_age: Option<String>,
    /// When the job runs, as in crontab(5), for alerts
    ///
    /// Five fields or @daily and the like, as '17 3 * * 1-5'; the zone is that of CRON_TZ, else TZ, else the system's.
    /// Becomes the metric pushwrap_next_success_deadline_timestamp_seconds, the first scheduled time after the start
    /// of the run plus the margin: overdue is time() > it without a success since. Instead of --max-age.
    #[arg(long, value_name = "CRON")]
    pub schedule: Option<String>,
    /// How late a run may succeed [default: 1h]
    ///
    /// A duration, added to the scheduled time.
    #[arg(long, value_name = "TIME", hide_short_help = true)]
    pub schedule_margin: Option<String>,
}

/// How a push is made.
#[derive(Debug, Args)]
#[command(next_help_heading = "How")]
pub struct ConnectionOptions {
    /// Basic authentication at the gateway
    ///
    /// As with curl. A password on the command line can be read by other users of the machine: PUSHWRAP_USER or
    /// --password-file keep it to you.
    #[arg(short, long, value_name = "USER[:PASSWORD]", hide_short_help = true)]
    pub user: Option<String>,
    /// File with the password of that user
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub password_file: Option<PathBuf>,
    /// File with a bearer token
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub token_file: Option<PathBuf>,
    /// Further header 'Name: value'; repeatable
    #[arg(short = 'H', long, value_name = "HEADER", hide_short_help = true)]
    pub header: Vec<String>,
    /// Trust these instead of the system's roots
    ///
    /// PEM. A plain self-signed server certificate is trusted for itself, as curl does. Without it: the system's roots,
    /// else built-in ones.
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub cacert: Option<PathBuf>,
    /// Certificate of our own
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub cert: Option<PathBuf>,
    /// Its key, where that is in another file
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub key: Option<PathBuf>,
    /// Do not verify the gateway's certificate
    #[arg(short = 'k', long, hide_short_help = true)]
    pub insecure: bool,
    /// Proxy, instead of http_proxy and the like
    ///
    /// Without it http_proxy, https_proxy and all_proxy count as with curl; no_proxy counts with it too. An empty value
    /// is no proxy.
    #[arg(long, value_name = "URL", hide_short_help = true)]
    pub proxy: Option<String>,
    /// Time for a push, in all [default: 10s]
    ///
    /// Bounds name resolution, connection, TLS, sending, the answer and all retries together. Retried are failed
    /// connections, time-outs and the statuses 408, 429 and 5xx.
    #[arg(long, value_name = "DURATION")]
    pub push_timeout: Option<String>,
}

/// How a run is reported: what only the run form has.
#[derive(Debug, Args)]
pub struct ReportOptions {
    /// A successful run deletes the group instead
    ///
    /// For groups that should exist only while something is wrong.
    #[arg(long, help_heading = "Where to", hide_short_help = true)]
    pub delete_on_success: bool,
    /// Push while it runs, or 'off' [default: 1m]
    ///
    /// The first push is made when the command has run for 5 seconds or one interval, whichever is less, the next ones
    /// at this interval. They say that it runs and carry its metrics as they stand. The first push comes up to a tenth
    /// later and each interval is up to a tenth shorter, so that many jobs do not push in the same second. Where the
    /// kernel would kill pushwrap along with the command (memory.oom.group), the first push is made at once.
    #[arg(long, help_heading = "How", value_name = "DURATION", hide_short_help = true)]
    pub push_interval: Option<String>,
    /// Exit 125 when only the push failed
    ///
    /// Without it a push that failed is said and changes nothing.
    #[arg(long, help_heading = "How")]
    pub require_push: bool,
    /// Prefix of the run's metrics [default: pushwrap_]
    ///
    /// The alert rules that come with pushwrap expect the default.
    #[arg(long, help_heading = "What about", value_name = "PREFIX", hide_short_help = true)]
    pub prefix: Option<String>,
    /// Sum the run up afterwards: text or json
    ///
    /// json is one line with the keys that docs/reference.md lists.
    #[arg(
        long,
        help_heading = "What is said",
        value_name = "FORMAT",
        hide_short_help = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "text"
    )]
    pub summary: Option<String>,
}

/// Who gets the report besides a gateway, and what is kept of it.
#[derive(Debug, Args)]
pub struct SinkOptions {
    /// Textfile for node_exporter; '-' is standard error
    ///
    /// The metrics as a file for node_exporter's textfile collector, with the grouping labels on every sample; its name
    /// must end in .prom to be read there. The file is replaced as a whole: one that is there keeps its mode, its owner
    /// and the last success, a new one gets the mode 0644.
    #[arg(long, help_heading = "Where to", value_name = "FILE", hide_short_help = true)]
    pub output: Option<PathBuf>,
    /// Receiver of Prometheus remote write
    ///
    /// The whole address, as http://prometheus:9090/api/v1/write. Receivers forget a sample after five minutes: rules
    /// need last_over_time. The options of authentication, TLS and proxies hold here too.
    #[arg(long, help_heading = "Where to", value_name = "URL", hide_short_help = true)]
    pub remote_write: Option<String>,
    /// Keep failed pushes and run counts here
    ///
    /// The push of a run is written there before it is sent, a file for each run, without credentials. One that failed waits for
    /// the next run or pushwrap flush, which merge what waits of a group into one push. Runs are counted there too. The directory
    /// is for one user. Without it /var/lib/pushwrap, where that exists and is writable; 'none' keeps nothing.
    #[arg(long, help_heading = "How", value_name = "DIR", hide_short_help = true)]
    pub state_dir: Option<PathBuf>,
}

/// What concerns the command itself.
#[derive(Debug, Args)]
#[command(next_help_heading = "The command")]
pub struct CommandOptions {
    /// End the command after this long; 0 is never
    ///
    /// As timeout(1), but for the whole process tree of the command. The exit status is then 124, or 137 when KILL was
    /// needed.
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
    /// Signal that --timeout sends [default: TERM]
    #[arg(short, long, value_name = "SIGNAL", hide_short_help = true)]
    pub signal: Option<String>,
    /// KILL this long after it [default: 10s]
    ///
    /// To what is still there of the command's process tree. With 0 there is no KILL, as with timeout(1).
    #[arg(long, value_name = "DURATION", hide_short_help = true)]
    pub kill_after: Option<String>,
    /// Exit codes that are a success [default: 0]
    ///
    /// A list with commas and ranges, such as 0,24,100-127, for programs such as rsync whose 24 is no failure.
    #[arg(long, value_name = "CODES", hide_short_help = true)]
    pub success_codes: Vec<String>,
    /// Exit codes that are neither success nor failure
    ///
    /// For runs that did nothing, such as the 75 of flock -n -E 75: they change neither pushwrap_success nor the last
    /// success.
    #[arg(long, value_name = "CODES", hide_short_help = true)]
    pub skip_codes: Vec<String>,
    /// Metrics file, directory or glob; repeatable
    ///
    /// Read when the command has ended; of a directory, its *.prom files. PUSHWRAP_TEXTFILE names to the command the first
    /// file that is given; where none is, or directories and globs alone, a private file, which is read too.
    #[arg(long, value_name = "PATH")]
    pub textfile: Vec<PathBuf>,
    /// Largest metrics file to read [default: 8MiB]
    #[arg(long, value_name = "SIZE", hide_short_help = true)]
    pub textfile_max: Option<String>,
    /// Do not sample the memory of the process tree
    ///
    /// Sampling costs less than a thousandth of a core.
    #[arg(long, hide_short_help = true)]
    pub no_tree: bool,
}

/// What pushwrap says on standard error.
#[derive(Debug, Args)]
#[command(next_help_heading = "What is said")]
pub struct MessageOptions {
    /// Run, print the request, send nothing
    ///
    /// The command runs. The request is printed on standard error, without secrets, with a curl command that sends it.
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// How much.
    #[command(flatten)]
    pub volume: VolumeOptions,
}

/// Which gateways are looked at.
#[derive(Debug, Args)]
#[command(next_help_heading = "Where to")]
pub struct GatewayOptions {
    /// Pushgateway; repeatable
    #[arg(long, value_name = "URL")]
    pub url: Vec<String>,
    /// Variables [default: /etc/default/pushwrap]
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub env_file: Option<PathBuf>,
}

/// Which of its groups.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which groups")]
pub struct FilterOptions {
    /// Only groups of this job
    ///
    /// The whole name. PUSHWRAP_JOB and PUSHWRAP_LABEL narrow what is meant too, and that is said.
    #[arg(long, value_name = "NAME")]
    pub job: Option<String>,
    /// Only groups with this label; repeatable
    ///
    /// All that are given must fit, name and value.
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub label: Vec<String>,
}

/// How much is said on standard error.
#[derive(Debug, Args)]
#[command(next_help_heading = "What is said")]
pub struct VolumeOptions {
    /// Say what is done; -vv says more
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
    /// Say nothing on stderr, not even what failed
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
}
