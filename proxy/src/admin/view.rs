//! The running configuration, as the admin interface shows it.

use std::time::SystemTime;

use super::{Access, api};
use crate::config::{self, StageId};
use crate::control::Control;
use crate::plugin::Fault;
use crate::rollout::versions::Cause;
use crate::router::results::Results;
use crate::router::stats::BUCKETS;
use crate::router::version::Version;
use crate::sites::CertificateSource;
use crate::upstream::endpoint::Endpoint;
use crate::upstream::endpoint_set::{EndpointSet, ServerEntry};
use crate::worker::DrainState;

pub(super) fn config(control: &Control) -> api::Config {
    let (_, source) = control.config();
    api::Config {
        path: source.path().display().to_string(),
        text: source.text().to_owned(),
    }
}

pub(super) fn status(control: &Control, access: Access) -> api::Status {
    let stages = control.stages();
    let frontends = control
        .response_counts()
        .into_iter()
        .map(|(name, response_counts)| {
            let stages = stages.iter().filter(|stage| stage.id.frontend == name);
            let stages = stages.map(|stage| api::Stage {
                name: stage.id.name.clone(),
                plugin: stage.active.plugin_name().to_owned(),
                version: stage.active.number(),
            });
            api::Frontend {
                stages: stages.collect(),
                answers: response_counts.totals(),
                name,
            }
        });
    let reloads = control.reloads();
    api::Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        state: match control.state_of_workers() {
            DrainState::Serving => "serving".to_owned(),
            DrainState::Draining | DrainState::Aborting => "draining".to_owned(),
        },
        uptime_seconds: control.started().elapsed().map_or(0, |time| time.as_secs()),
        workers: control.workers(),
        connections: control.connections(),
        config: control.config().1.path().display().to_string(),
        reloads: reloads.applied,
        reloads_refused: reloads.refused,
        frontends: frontends.collect(),
        backends: servers(control).backends,
        certificates: certificates(control),
        tables: tables(control, access),
    }
}

pub(super) fn servers(control: &Control) -> api::Servers {
    let clusters = control.clusters();
    let backends = clusters.iter().map(|cluster| {
        let set = cluster.endpoints();
        let servers = set
            .servers()
            .iter()
            .map(|server_entry| server(&set, server_entry));
        api::Backend {
            name: cluster.name().to_string(),
            active: cluster.active(),
            queued: cluster.queued(),
            servers: servers.collect(),
        }
    });
    api::Servers {
        backends: backends.collect(),
    }
}

fn certificates(control: &Control) -> Vec<api::Certificate> {
    let sites = control.sites().states().into_iter();
    let certificates = sites.flat_map(|site| {
        let name = site.name;
        site.certificates.into_iter().map(move |certificate| {
            let facts = certificate.facts;
            api::Certificate {
                tls: name.clone(),
                names: facts.names.iter().map(ToString::to_string).collect(),
                file: match certificate.source {
                    CertificateSource::File(path) => Some(path.display().to_string()),
                    CertificateSource::Issued => None,
                },
                not_before: facts.not_before,
                not_after: facts.not_after,
                sha256: facts.sha256.into(),
            }
        })
    });
    certificates.collect()
}

fn tables(control: &Control, access: Access) -> Vec<api::Table> {
    let tables = control.table_states().into_iter();
    let tables = tables.map(|table| api::Table {
        name: table.name,
        file: table.file.display().to_string(),
        entries: table.entries,
        bytes: table.bytes,
        loaded: seconds(table.loaded),
        unsaved: table.unsaved,
        failed: table.failure.is_some(),
        // The error text can contain keys and values of the table.
        error: table
            .failure
            .filter(|_| access == Access::Control)
            .map(|failure| failure.reason),
    });
    tables.collect()
}

fn server(set: &EndpointSet, server_entry: &ServerEntry) -> api::Server {
    let totals = server_entry.server().totals();
    let endpoints = set.endpoints_of(server_entry).iter();
    api::Server {
        name: server_entry.server().name().to_owned(),
        requests: totals.exchanges,
        connects: totals.dialled,
        connect_errors: totals.refused,
        retries: totals.retried,
        state_changes: totals.changes,
        weight: server_entry.weight(),
        backup: server_entry.is_backup(),
        endpoints: endpoints.map(|entry| endpoint(&entry.endpoint)).collect(),
    }
}

fn endpoint(endpoint: &Endpoint) -> api::Endpoint {
    api::Endpoint {
        address: endpoint.address().to_string(),
        state: endpoint.state_word().to_owned(),
        active: endpoint.active(),
    }
}

pub(super) fn plugins(control: &Control, access: Access) -> api::Plugins {
    let mut versions = Vec::new();
    for stage in control.stages() {
        let state = if stage.active.is_failing() {
            "failing"
        } else {
            "active"
        };
        let mut describe = |version: &Version, state, cause, config: &config::Stage| {
            // The configuration can contain secrets.
            let config = (access == Access::Control).then(|| config.config.clone());
            versions.push(describe(&stage.id, version, state, cause, config));
        };
        describe(&stage.active, state, stage.cause, &stage.config);
        if let (Some(rollout), Some(config)) = (&stage.rollout, &stage.rollout_config) {
            let state = rollout.mode().name();
            describe(rollout.version(), state, Cause::Trial, config);
        }
        for retired in &stage.retired {
            let state = retired.reason.name();
            describe(&retired.version, state, retired.cause, &retired.stage);
        }
    }
    api::Plugins { versions }
}

pub(super) fn trials(control: &Control) -> api::Trials {
    let mut trials = Vec::new();
    for stage in control.stages() {
        if let Some(rollout) = &stage.rollout {
            trials.push(api::Trial {
                active: stage.active.number(),
                number: rollout.version().number(),
                mode: rollout.mode().name().to_owned(),
                percent: rollout.share().percent(),
                state: "running".to_owned(),
                ended: None,
                ..trial(&stage.id, rollout.results())
            });
        }
        if let Some(ended) = &stage.ended {
            trials.push(api::Trial {
                active: ended.active,
                number: ended.number,
                mode: ended.mode.name().to_owned(),
                percent: ended.share.percent(),
                state: ended.end.name().to_owned(),
                ended: Some(seconds(ended.at)),
                ..trial(&stage.id, &ended.results)
            });
        }
    }
    api::Trials { trials }
}

fn trial(stage: &StageId, results: &Results) -> api::Trial {
    let report = results.report();
    let examples = report.examples.into_iter().map(|example| api::Example {
        method: example.method,
        target: example.target,
        fields: example.fields,
        active: example.active,
        trial: example.candidate,
    });
    api::Trial {
        frontend: stage.frontend.clone(),
        stage: stage.name.clone(),
        asked: report.called,
        differing: report.differing,
        failed: report.failed,
        examples: examples.collect(),
        ..api::Trial::default()
    }
}

fn describe(
    stage: &StageId,
    version: &Version,
    state: &str,
    cause: Cause,
    config: Option<serde_json::Value>,
) -> api::Version {
    let totals = version.stats().totals();
    let bounds = BUCKETS.iter().copied().map(Some).chain([None]);
    let buckets = bounds.zip(totals.buckets);
    let kinds = Fault::KINDS.iter().zip(totals.faults);
    api::Version {
        frontend: stage.frontend.clone(),
        stage: stage.name.clone(),
        number: version.number(),
        plugin: version.plugin_name().to_owned(),
        source: version.source().to_owned(),
        sha256: version.sha256().to_owned(),
        state: state.to_owned(),
        since: seconds(version.since()),
        cause: cause.name().to_owned(),
        config,
        decisions: totals.cached + totals.called,
        cached: totals.cached,
        faults: kinds
            .filter(|(_, count)| *count > 0)
            .map(|(kind, count)| ((*kind).to_owned(), count))
            .collect(),
        histogram: buckets
            .filter(|(_, calls)| *calls > 0)
            .map(|(up_to, calls)| api::Bucket { up_to, calls })
            .collect(),
        nanoseconds: totals.nanoseconds,
    }
}

/// Converts a time to seconds since 1970.
fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
