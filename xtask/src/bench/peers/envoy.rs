//! Envoy's configurations: virtual hosts or a proxy-wasm plugin choose the cluster.
//!
//! A proxy-wasm plugin cannot name a cluster: it sets a header field, which the route then matches
//! on.

use std::path::Path;
use std::process::Command;

use super::{Addresses, Launch, SUFFIX, Site, Tools, anonymous, free_address, write};

/// The mechanism that chooses the backend.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Routing {
    Domains,
    Wasm,
}

/// Prefix of the names of `V3` types.
const V3: &str = "type.googleapis.com/envoy.extensions";

pub(super) fn launch(
    tools: &Tools,
    site: &Site,
    folder: &Path,
    routing: Routing,
) -> anyhow::Result<Launch> {
    let address = free_address()?;
    let text = configuration(
        site,
        address.port(),
        routing,
        &tools.filter.display().to_string(),
    );
    write(folder, "envoy.yaml", &text)?;
    let mut command = Command::new(&tools.envoy);
    command
        .arg("-c")
        .arg(folder.join("envoy.yaml"))
        .args(["--concurrency", &site.threads.to_string()])
        .args(["--log-level", "error", "--disable-hot-restart"]);
    Ok(Launch {
        command,
        configuration: anonymous(&text, tools.filter.parent().unwrap_or(folder)),
        addresses: Addresses {
            www: address,
            node: address,
        },
    })
}

fn configuration(site: &Site, port: u16, routing: Routing, filter: &str) -> String {
    let (hosts, plugin) = match routing {
        Routing::Domains => (domains(), String::new()),
        Routing::Wasm => (matched_header(), plugin(filter)),
    };
    let clusters: String = [("www_backend", site.www), ("node_backend", site.node)]
        .map(|(name, server)| cluster(name, server.port()))
        .concat();
    format!(
        r#"static_resources:
  listeners:
  - name: http-in
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": {V3}.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: http-in
          # As the other proxies, it adds nothing to requests and responses.
          generate_request_id: false
          server_header_transformation: PASS_THROUGH
          stream_idle_timeout: 86400s
          upgrade_configs: [{{ upgrade_type: websocket }}]
          route_config:
            virtual_hosts:
{hosts}          http_filters:
{plugin}          - name: envoy.filters.http.router
            typed_config:
              "@type": {V3}.filters.http.router.v3.Router
              suppress_envoy_headers: true
  clusters:
{clusters}"#
    )
}

/// Returns the domains of a virtual host. Envoy matches the longest suffix; the name itself needs a
/// separate entry.
fn domains() -> String {
    format!(
        r#"            - name: node
              domains: ["{SUFFIX}", "*{SUFFIX}"]
              routes:
              - match: {{ prefix: "/" }}
                route: {{ cluster: node_backend, timeout: 0s }}
            - name: www
              domains: ["*"]
              routes:
              - match: {{ prefix: "/" }}
                route: {{ cluster: www_backend, timeout: 0s }}
"#
    )
}

fn matched_header() -> String {
    r#"            - name: all
              domains: ["*"]
              routes:
              - match: { prefix: "/", headers: [{ name: x-backend, string_match: { exact: node } }] }
                route: { cluster: node_backend, timeout: 0s }
              - match: { prefix: "/" }
                route: { cluster: www_backend, timeout: 0s }
"#
    .to_owned()
}

fn plugin(filter: &str) -> String {
    format!(
        r#"          - name: envoy.filters.http.wasm
            typed_config:
              "@type": {V3}.filters.http.wasm.v3.Wasm
              config:
                name: host-suffix
                vm_config:
                  runtime: envoy.wasm.runtime.v8
                  code: {{ local: {{ filename: "{filter}" }} }}
"#
    )
}

/// Returns a cluster whose circuit breakers impose no limit, because the other proxies have none.
fn cluster(name: &str, port: u16) -> String {
    format!(
        r"  - name: {name}
    type: STATIC
    connect_timeout: 5s
    circuit_breakers:
      thresholds:
      - {{ max_connections: 100000, max_pending_requests: 100000, max_requests: 100000 }}
    load_assignment:
      cluster_name: {name}
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }} }}
"
    )
}
