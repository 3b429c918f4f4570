//! What a plugin answers: a backend, a server, a response of its own, or nothing.
//!
//! Owns how an answer is written. Whether it is valid is for the proxy to judge.

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// To the backend of this name. A name that the proxy's configuration does not have is a
    /// fault.
    Backend(String),
    /// To the frontend's `default_backend`.
    DefaultBackend,
    /// To one server of a backend.
    Server(ServerChoice),
    /// Nowhere: the proxy sends this response.
    Respond(Response),
    /// Not for this plugin: the next one of the frontend's router decides, with the edits and
    /// options so far; after the last one, the request goes to the frontend's
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
    /// What happens if the server is not usable.
    pub otherwise: Otherwise,
}

/// What happens if the chosen server is not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// Another server of the backend takes the request.
    AnotherServer,
    /// The router is asked again: [`Request::attempt`](crate::Request::attempt) is higher then.
    AskAgain,
}

impl Decision {
    /// To the backend `name`.
    pub fn backend(name: impl Into<String>) -> Self {
        Self::Backend(name.into())
    }

    /// To the server `server` of `backend`.
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

    /// No backend: the proxy sends `response`, as in
    /// `Decision::respond(Response::new(403).body("not from here\n"))`.
    pub fn respond(response: Response) -> Self {
        Self::Respond(response)
    }

    /// Sends the client elsewhere: `status` (301, 302, 303, 307 or 308) with `location`
    /// (RFC 9110, section 15.4).
    pub fn redirect(status: u16, location: impl Into<Vec<u8>>) -> Self {
        Self::Respond(Response::new(status).header("location", location))
    }
}

/// A response that a plugin makes itself.
///
/// The proxy adds what frames the message; a status or a field that HTTP forbids is a
/// fault of the plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// A response with this status, 200 to 599, without fields or a body.
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

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The field lines, in the order they were added.
    pub fn headers(&self) -> &[(String, Vec<u8>)] {
        &self.headers
    }
}
