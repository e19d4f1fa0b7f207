//! The grouping key that options and host make together: job, labels, instance, namespace.

use super::host::HostInfo;
use super::launchers::is_launcher;
use super::source::{Origin, Resolver, are_given, is_given};
use super::usage_error::UsageError;
use crate::grouping::{GroupingKey, Label, LabelName};

/// The defaults of the grouping key.
pub(super) struct Fallbacks {
    pub(super) host: HostInfo,
    /// The job where `--job` is not given; none where it must be.
    pub(super) job: Option<String>,
}

/// The options that name a group.
#[derive(Clone, Copy)]
pub(super) struct KeyOptions<'o> {
    pub(super) job: Option<&'o str>,
    pub(super) labels: &'o [String],
    pub(super) instance: Option<&'o str>,
}

/// The key of the options, with what the host adds. None where a variable below the command line spoils it.
pub(super) fn resolve(
    resolver: &mut Resolver,
    options: KeyOptions<'_>,
    Fallbacks { host, job: fallback }: Fallbacks,
    warnings: &mut Vec<String>,
) -> Result<Option<GroupingKey>, UsageError> {
    let is_run = fallback.is_some();
    let parse = |text: &str| grouping_label(text, is_run);
    let mut labels = resolver.many("label", options.labels, parse)?.unwrap_or_default();
    let job = resolver.one("job", options.job, non_empty)?;
    if is_run && let Some(origin) = inherited_job(resolver, options) {
        warnings.push(format!(
            "this is a run inside a run, and its job is that of the outer one, from {origin}: name it with --job"
        ));
    }
    let job = match (job, fallback) {
        (Some(job), _) => job,
        (None, Some(name)) => {
            if is_launcher(&name) {
                warnings.push(format!(
                    "the job is named '{name}', as every other job that {name} runs; name it with --job"
                ));
            }
            name
        }
        (None, None) => {
            return resolver.refuse(true, "--job is required: it names the group".to_owned()).map(|()| None);
        }
    };
    let mut instance = resolver.one("instance", options.instance, str::parse::<String>)?;
    prefer_one_instance(resolver, options, &mut labels, &mut instance)?;
    if host.hides_namespace && !labels.iter().any(|label| label.name.as_str() == "namespace") {
        warnings.push(NAMESPACE_UNKNOWN.to_owned());
    }
    let all = all_labels(&labels, instance.as_deref(), host);
    match GroupingKey::new(&job, all) {
        Ok(key) => Ok(Some(key)),
        Err(error) => {
            let origin = resolver.origin("label", options.labels);
            resolver.refuse(origin.is_flag(), format!("invalid grouping key: {error}, by {origin}")).map(|()| None)
        }
    }
}

/// The warning that the namespace drops out of the key. `-l namespace=` says that it may.
const NAMESPACE_UNKNOWN: &str = "\
the grouping key has no namespace, because no service account is mounted that tells it; this puts it there:
  env: [{name: NS, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}, {name: PUSHWRAP_LABEL, value: namespace=$(NS)}]
and '-l namespace=' does without it";

/// Set by a run for its command.
const TEXTFILE_VARIABLE: &str = "PUSHWRAP_TEXTFILE";

/// Where the job comes from, if it is a setting that a run inside a run has inherited from the outer one.
fn inherited_job(resolver: &Resolver, options: KeyOptions<'_>) -> Option<Origin> {
    let is_inside = || std::env::var_os(TEXTFILE_VARIABLE).is_some_and(|path| !path.is_empty());
    if is_given(options.job) || !is_inside() { None } else { resolver.setting_origin("job") }
}

/// Labels that tell the samples of one of the run's own metrics apart. The gateway overwrites labels with those of the key, so
/// all these samples would become one series, and it would refuse every push.
const TELL_APART: [&str; 2] = ["outcome", "mode"];

/// A label of the key, of the run form's where there are metrics of the run's own.
fn grouping_label(text: &str, is_run: bool) -> Result<Label, String> {
    let label: Label = text.parse()?;
    label.refuse_reserved()?;
    if is_run && TELL_APART.contains(&label.name.as_str()) {
        let name = &label.name;
        return Err(format!("'{name}' cannot be a grouping label: the run's own metrics have a label of that name"));
    }
    Ok(label)
}

/// An instance can be given as a label too; the one of the higher layer counts.
fn prefer_one_instance(
    resolver: &mut Resolver,
    options: KeyOptions<'_>,
    labels: &mut Vec<Label>,
    instance: &mut Option<String>,
) -> Result<(), UsageError> {
    let is_named = instance.as_deref().is_some_and(|name| !matches!(name, "auto" | "none"));
    if !is_named || !labels.iter().any(|label| label.name.as_str() == "instance") {
        return Ok(());
    }
    let (_, by_label) = resolver.prefer(
        ("instance", is_given(options.instance)),
        ("label", are_given(options.labels)),
        "the label 'instance' is given twice, by --instance and by --label",
    )?;
    if by_label {
        *instance = None;
    } else {
        labels.retain(|label| label.name.as_str() != "instance");
    }
    Ok(())
}

pub(super) fn non_empty(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("expected a name".to_owned()) } else { Ok(text.to_owned()) }
}

/// The grouping labels: those that were given, then what the host adds where nothing was given.
fn all_labels(given: &[Label], instance: Option<&str>, host: HostInfo) -> Vec<Label> {
    let mut labels = given.to_vec();
    let is_given = |name: &str| given.iter().any(|label| label.name.as_str() == name);
    let mut add = |name: &str, value: String| {
        if let Ok(name) = name.parse::<LabelName>() {
            labels.push(Label { name, value });
        }
    };
    match instance {
        None | Some("auto") => {
            let is_named = !is_given("instance") && host.is_permanent();
            if let Some(name) = host.name.filter(|_| is_named) {
                add("instance", name);
            }
        }
        Some("none") => {}
        Some(name) => add("instance", name.to_owned()),
    }
    if let Some(namespace) = host.namespace.filter(|_| !is_given("namespace")) {
        add("namespace", namespace);
    }
    labels
}
