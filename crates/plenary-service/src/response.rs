//! What a handler can return, as a response.

use crate::extract::Json;
use http::StatusCode;
use plenary_types::{Problem, Response};
use serde::Serialize;

/// A value that is a response.
pub trait IntoResponse {
    /// The response.
    ///
    /// # Errors
    ///
    /// 500 where the value has no encoding; the operation is refused then.
    fn into_response(self) -> Result<Response, Problem>;
}

fn response(status: StatusCode, content_type: &str, body: impl Into<bytes::Bytes>) -> Response {
    Response {
        status: status.as_u16(),
        content_type: content_type.to_owned(),
        body: body.into(),
    }
}

impl IntoResponse for Response {
    fn into_response(self) -> Result<Response, Problem> {
        Ok(self)
    }
}

/// A refusal that is to be on record: as an `Err` it would change nothing and leave no trace.
impl IntoResponse for Problem {
    fn into_response(self) -> Result<Response, Problem> {
        Ok(self.to_response())
    }
}

/// 200 with a JSON body.
impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Result<Response, Problem> {
        let body = serde_json::to_vec(&self.0).map_err(|error| {
            let detail = format!("the response has no JSON: {error}");
            Problem::new(500, "unencodable-response", detail)
        })?;
        Ok(response(StatusCode::OK, "application/json", body))
    }
}

/// The status and no body.
impl IntoResponse for StatusCode {
    fn into_response(self) -> Result<Response, Problem> {
        Ok(response(self, "", ""))
    }
}

/// 204 and no body.
impl IntoResponse for () {
    fn into_response(self) -> Result<Response, Problem> {
        StatusCode::NO_CONTENT.into_response()
    }
}

/// 200 with a text.
impl IntoResponse for String {
    fn into_response(self) -> Result<Response, Problem> {
        Ok(response(StatusCode::OK, "text/plain; charset=utf-8", self))
    }
}

/// 200 with a text.
impl IntoResponse for &'static str {
    fn into_response(self) -> Result<Response, Problem> {
        Ok(response(StatusCode::OK, "text/plain; charset=utf-8", self))
    }
}

/// The same response with another status.
impl<R: IntoResponse> IntoResponse for (StatusCode, R) {
    fn into_response(self) -> Result<Response, Problem> {
        let mut response = self.1.into_response()?;
        response.status = self.0.as_u16();
        Ok(response)
    }
}
