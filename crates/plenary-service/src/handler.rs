//! Handlers: plain functions, made callable by their argument types.

use crate::{
    context::Context,
    extract::{FromRequest, Parts},
    response::IntoResponse,
};
use plenary_types::{Problem, Response};

/// A function that answers requests: its first argument is `&mut Context`, up to six more are
/// extractors, and it returns `Result<impl IntoResponse, Problem>`.
///
/// It must be a function of state, context and request alone; `docs/determinism.md` says what
/// that rules out.
pub trait Handler<Arguments>: Send + Sync + 'static {
    /// Whether it takes a JSON body, for the API's description.
    const TAKES_JSON: bool;

    /// Extracts the arguments and calls the function.
    ///
    /// # Errors
    ///
    /// An extractor's rejection or the function's refusal; nothing is written then.
    fn call(&self, cx: &mut Context, parts: &Parts<'_>) -> Result<Response, Problem>;
}

macro_rules! handler {
    ($($extractor:ident),*) => {
        impl<F, R, $($extractor),*> Handler<($($extractor,)*)> for F
        where
            F: Fn(&mut Context, $($extractor),*) -> Result<R, Problem> + Send + Sync + 'static,
            R: IntoResponse,
            $($extractor: FromRequest,)*
        {
            const TAKES_JSON: bool = false $(|| $extractor::TAKES_JSON)*;

            #[allow(non_snake_case, unused_variables)]
            fn call(&self, cx: &mut Context, parts: &Parts<'_>) -> Result<Response, Problem> {
                $(let $extractor = $extractor::from_request(parts).map_err(Into::into)?;)*
                self(cx, $($extractor),*)?.into_response()
            }
        }
    };
}
handler!();
handler!(A);
handler!(A, B);
handler!(A, B, C);
handler!(A, B, C, D);
handler!(A, B, C, D, E);
handler!(A, B, C, D, E, G);

/// A handler whose arguments no longer matter.
pub(crate) type BoxedHandler =
    Box<dyn Fn(&mut Context, &Parts<'_>) -> Result<Response, Problem> + Send + Sync>;

pub(crate) fn boxed<Arguments>(handler: impl Handler<Arguments>) -> BoxedHandler {
    Box::new(move |cx, parts| handler.call(cx, parts))
}
