//! The running configuration, as the admin interface shows it.

use std::time::SystemTime;

use super::{Rights, api};
use crate::config;
use crate::control::Control;
use crate::plugin::Fault;
use crate::rollout::versions::Cause;
use crate::router::results::Results;
use crate::router::stats::BUCKETS;
use crate::router::version::Version;
use crate::sites::CertificateSource;
use crate::upstream::endpoint::Endpoint;
use crate::upstream::endpoint_set::{EndpointSet, Member};
use crate::worker::DrainState;

pub(super) fn config(control: &Control) -> api::Config {
    let (_, source) = control.config();
    api::Config {
        path: source.path().display().to_string(),
        text: source.text().to_owned(),
    }
}

pub(super) fn status(control: &Control) -> api::Status {
    let routers = control.routers();
    let frontends = control.answers().into_iter().map(|(name, answers)| {
        let router = routers.iter().find(|router| router.frontend == name);
        api::Frontend {
            plugin_version: router.map(|router| router.active.number()),
            answers: answers.totals(),
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
    }
}

pub(super) fn servers(control: &Control) -> api::Servers {
    let clusters = control.clusters();
    let backends = clusters.iter().map(|cluster| {
        let set = cluster.endpoints();
        let servers = set.members().iter().map(|member| server(&set, member));
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

fn server(set: &EndpointSet, member: &Member) -> api::Server {
    let totals = member.server().totals();
    let endpoints = set.of_member(member).iter();
    api::Server {
        name: member.server().name().to_owned(),
        requests: totals.exchanges,
        connects: totals.dialled,
        connect_errors: totals.refused,
        retries: totals.retried,
        state_changes: totals.changes,
        weight: member.weight(),
        backup: member.is_backup(),
        endpoints: endpoints.map(|choice| endpoint(&choice.endpoint)).collect(),
    }
}

fn endpoint(endpoint: &Endpoint) -> api::Endpoint {
    api::Endpoint {
        address: endpoint.address().to_string(),
        state: endpoint.state_word().to_owned(),
        active: endpoint.active(),
    }
}

pub(super) fn plugins(control: &Control, rights: Rights) -> api::Plugins {
    let mut versions = Vec::new();
    for router in control.routers() {
        let state = if router.active.is_failing() {
            "failing"
        } else {
            "active"
        };
        let mut describe = |version: &Version, state, cause, config: &config::Router| {
            // It may hold secrets.
            let config = (rights == Rights::Change).then(|| config.config.clone());
            versions.push(describe(&router.frontend, version, state, cause, config));
        };
        describe(&router.active, state, router.cause, &router.router);
        if let (Some(rollout), Some(config)) = (&router.rollout, &router.rollout_router) {
            let state = rollout.mode().name();
            describe(rollout.version(), state, Cause::Trial, config);
        }
        for retired in &router.retired {
            let state = retired.reason.name();
            describe(&retired.version, state, retired.cause, &retired.router);
        }
    }
    api::Plugins { versions }
}

pub(super) fn trials(control: &Control) -> api::Trials {
    let mut trials = Vec::new();
    for router in control.routers() {
        if let Some(rollout) = &router.rollout {
            trials.push(api::Trial {
                active: router.active.number(),
                number: rollout.version().number(),
                mode: rollout.mode().name().to_owned(),
                percent: rollout.share().percent(),
                state: "running".to_owned(),
                ended: None,
                ..trial(&router.frontend, rollout.results())
            });
        }
        if let Some(ended) = &router.ended {
            trials.push(api::Trial {
                active: ended.active,
                number: ended.number,
                mode: ended.mode.name().to_owned(),
                percent: ended.share.percent(),
                state: ended.end.name().to_owned(),
                ended: Some(seconds(ended.at)),
                ..trial(&router.frontend, &ended.results)
            });
        }
    }
    api::Trials { trials }
}

fn trial(frontend: &str, results: &Results) -> api::Trial {
    let report = results.report();
    let examples = report.examples.into_iter().map(|example| api::Example {
        method: example.method,
        target: example.target,
        fields: example.fields,
        active: example.active,
        trial: example.candidate,
    });
    api::Trial {
        frontend: frontend.to_owned(),
        asked: report.asked,
        differing: report.differing,
        failed: report.failed,
        examples: examples.collect(),
        ..api::Trial::default()
    }
}

fn describe(
    frontend: &str,
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
        frontend: frontend.to_owned(),
        number: version.number(),
        plugin: version.plugin_name().to_owned(),
        source: version.source().to_owned(),
        sha256: version.sha256().to_owned(),
        state: state.to_owned(),
        since: seconds(version.since()),
        cause: cause.name().to_owned(),
        config,
        decisions: totals.cached + totals.asked,
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

/// Since 1970.
fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
