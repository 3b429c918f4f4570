//! Decisions of a plugin: a backend, a server, a response of its own, or none.
//!
//! Owns the types of a decision. The proxy checks whether a decision is valid.

/// The destination of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The backend with this name. A name that is not in the proxy's configuration is a fault.
    Backend(String),
    /// The frontend's `default_backend`.
    DefaultBackend,
    /// One server of a backend.
    Server(ServerChoice),
    /// No backend: the proxy sends this response.
    Respond(Response),
    /// No decision by this plugin: the next plugin of the frontend's router decides, with the edits
    /// and options made so far. After the last plugin, the request goes to the frontend's
    /// `default_backend`.
    Next,
}

/// One server of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerChoice {
    /// The backend's name.
    pub backend: String,
    /// The server's name in that backend.
    pub server: String,
    /// Fallback if the server is not usable.
    pub otherwise: Otherwise,
}

/// Fallback if the chosen server is not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// Another server of the backend receives the request.
    AnotherServer,
    /// The router is called again, with [`Request::attempt`](crate::Request::attempt) increased by
    /// one.
    AskAgain,
}

impl Decision {
    /// Sends the request to the backend `name`. A name that is not in the proxy's configuration is
    /// a fault of the plugin.
    pub fn backend(name: impl Into<String>) -> Self {
        Self::Backend(name.into())
    }

    /// Sends the request to one server of a backend.
    pub fn server(
        backend: impl Into<String>,
        server: impl Into<String>,
        otherwise: Otherwise,
    ) -> Self {
        Self::Server(ServerChoice {
            backend: backend.into(),
            server: server.into(),
            otherwise,
        })
    }

    /// Responds without a backend: the proxy sends `response`, as in
    /// `Decision::respond(Response::new(403).body("not from here\n"))`.
    pub fn respond(response: Response) -> Self {
        Self::Respond(response)
    }

    /// Redirects the client to `location` with status 301, 302, 303, 307 or 308 (RFC 9110, section
    /// 15.4).
    pub fn redirect(status: u16, location: impl Into<Vec<u8>>) -> Self {
        Self::Respond(Response::new(status).header("location", location))
    }
}

/// A response that a plugin makes by itself.
///
/// The proxy adds the fields that frame the message. A status or a field that HTTP forbids is a
/// fault of the plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// Creates a response with this status, 200 to 599, without fields or a body.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Adds a field line.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Returns the status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns the field lines, in the order they were added.
    pub fn headers(&self) -> &[(String, Vec<u8>)] {
        &self.headers
    }
}
