//! The `tower` layer that gives each request its trace, its log line and its metrics.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::MatchedPath;
use bytes::Buf;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use mcsp_runtime::{SharedEntropy, SystemEntropy};
use parking_lot::Mutex;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::record::{Labels, Recorder};
use crate::trace::{TRACEPARENT, trace_from_headers, within};
use crate::{RedMetrics, TraceContext, red_metrics, redact_path, with_trace};

/// What the paths of our gRPC methods begin with: `/mcsp.auth.v1.Auth/GetKeySet`.
const GRPC_PATH_PREFIX: &str = "/mcsp.";

/// Of the traces that begin here, how many are sampled.
const SAMPLE_RATIO_DEFAULT: f64 = 0.05;

/// Wraps a server's service. It takes the request's `traceparent` or begins a trace, runs the service inside it,
/// answers with a `traceparent` of its own, and when the answer's body has ended writes one access log line and
/// counts the request.
///
/// Layers nest: the outermost measures, each inner one that a request passes only names the service and the route. So
/// a server wraps everything once, and routers inside it are wrapped with the names of their services. The route is
/// axum's [`MatchedPath`], so an inner layer belongs on the router (`Router::layer`), or the path of a gRPC method;
/// what matches nothing is `unmatched`.
#[derive(Debug, Clone)]
pub struct TelemetryLayer {
    service: &'static str,
    sample_ratio: f64,
    quiet: bool,
    entropy: SharedEntropy,
    metrics: Option<RedMetrics>,
}

impl TelemetryLayer {
    /// Telemetry of `service`, counted in the process's registry.
    #[must_use]
    pub fn new(service: &'static str) -> Self {
        let metrics = red_metrics()
            .inspect_err(|error| tracing::error!(%error, "requests are not counted"))
            .ok();
        Self {
            service,
            sample_ratio: SAMPLE_RATIO_DEFAULT,
            quiet: false,
            entropy: SystemEntropy::shared(),
            metrics,
        }
    }

    /// Of the traces that begin here, samples this share (0 to 1, default 0.05). A caller's decision is kept.
    #[must_use]
    pub fn with_sample_ratio(mut self, ratio: f64) -> Self {
        self.sample_ratio = ratio.clamp(0.0, 1.0);
        self
    }

    /// Logs answered requests at `debug`: for health checks and scrapes.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// With another source of ids.
    #[must_use]
    pub fn with_entropy(mut self, entropy: SharedEntropy) -> Self {
        self.entropy = entropy;
        self
    }

    /// Counts into other metrics than the process's.
    #[must_use]
    pub fn with_metrics(mut self, metrics: RedMetrics) -> Self {
        self.metrics = Some(metrics);
        self
    }
}

impl<S> Layer<S> for TelemetryLayer {
    type Service = TelemetryService<S>;

    fn layer(&self, inner: S) -> TelemetryService<S> {
        TelemetryService {
            inner,
            layer: self.clone(),
        }
    }
}

/// What [`TelemetryLayer`] makes of a service.
#[derive(Debug, Clone)]
pub struct TelemetryService<S> {
    inner: S,
    layer: TelemetryLayer,
}

/// In a request's extensions: where inner layers leave their names.
#[derive(Debug, Clone)]
struct Scope(Arc<Mutex<Labels>>);

/// The answer of a [`TelemetryService`], boxed because service futures of routers are boxed anyway.
type AnswerFuture<R, E> =
    Pin<Box<dyn Future<Output = Result<Response<TelemetryBody<R>>, E>> + Send>>;

impl<S, B, R> Service<Request<B>> for TelemetryService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    R: Body + 'static,
{
    type Response = Response<TelemetryBody<R>>;
    type Error = S::Error;
    type Future = AnswerFuture<R, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let is_grpc = is_grpc(&request);
        if let Some(scope) = request.extensions().get::<Scope>() {
            self.layer.name(&mut scope.0.lock(), &request, is_grpc);
            let answer = self.inner.call(request);
            return Box::pin(async move { Ok(answer.await?.map(TelemetryBody::passed_on)) });
        }

        let caller = trace_from_headers(request.headers());
        let entropy = &*self.layer.entropy;
        let trace = caller.map_or_else(
            || TraceContext::root(entropy, self.layer.sample_ratio),
            |caller| caller.child(entropy),
        );
        let mut labels = Labels::new(self.layer.service);
        self.layer.name(&mut labels, &request, is_grpc);
        let labels = Arc::new(Mutex::new(labels));
        let recorder = Recorder::new(
            Arc::clone(&labels),
            self.layer.metrics.clone(),
            self.layer.quiet,
            request.method().clone(),
            redact_path(request.uri().path()),
            trace,
            caller.map(|caller| caller.span_id),
        );
        request.extensions_mut().insert(Scope(labels));
        request.extensions_mut().insert(trace);

        let is_head = request.method() == http::Method::HEAD;
        let answer = within(trace, || self.inner.call(request));
        Box::pin(async move {
            let mut recorder = recorder;
            match with_trace(trace, answer).await {
                Ok(mut response) => {
                    if let Ok(value) = HeaderValue::try_from(trace.header_value()) {
                        response.headers_mut().insert(TRACEPARENT, value);
                    }
                    recorder.head(response.status(), response.headers(), is_grpc);
                    if is_head || response.body().is_end_stream() {
                        recorder.finish();
                    }
                    Ok(response.map(|body| TelemetryBody::measured(body, recorder, trace)))
                }
                Err(error) => {
                    recorder.fail();
                    Err(error)
                }
            }
        })
    }
}

impl TelemetryLayer {
    fn name<B>(&self, labels: &mut Labels, request: &Request<B>, is_grpc: bool) {
        if is_grpc {
            let path = request.uri().path();
            // `/mcsp.auth.v1.Auth/GetKeySet` is the auth service's, whichever process serves it.
            let owner = path
                .strip_prefix(GRPC_PATH_PREFIX)
                .and_then(|rest| rest.split('.').next());
            labels.service = owner.unwrap_or(self.service).to_owned();
            labels.route = Some(path.to_owned());
            return;
        }
        self.service.clone_into(&mut labels.service);
        if let Some(matched) = request.extensions().get::<MatchedPath>() {
            labels.route = Some(matched.as_str().to_owned());
        }
    }
}

/// A call of one of our interfaces. A content type alone does not make one: it is the client's own choice, and the path
/// of a call becomes a label, of which there must not be as many as clients can think of.
fn is_grpc<B>(request: &Request<B>) -> bool {
    request.method() == http::Method::POST
        && request.uri().path().starts_with(GRPC_PATH_PREFIX)
        && request
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

pin_project! {
    /// An answer's body that tells its recorder how it ended.
    #[derive(Debug)]
    pub struct TelemetryBody<B> {
        #[pin]
        inner: B,
        // `None`: an outer layer measures.
        watch: Option<(Recorder, TraceContext)>,
    }
}

impl<B> TelemetryBody<B> {
    fn passed_on(inner: B) -> Self {
        Self { inner, watch: None }
    }

    fn measured(inner: B, recorder: Recorder, trace: TraceContext) -> Self {
        Self {
            inner,
            watch: Some((recorder, trace)),
        }
    }
}

impl<B: Default> Default for TelemetryBody<B> {
    fn default() -> Self {
        Self::passed_on(B::default())
    }
}

impl<B: Body> Body for TelemetryBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let Some((recorder, trace)) = this.watch else {
            return this.inner.poll_frame(cx);
        };
        let polled = within(*trace, || this.inner.as_mut().poll_frame(cx));
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    recorder.sent(data.remaining());
                }
                if let Some(trailers) = frame.trailers_ref() {
                    recorder.trailers(trailers);
                }
                if this.inner.is_end_stream() {
                    recorder.finish();
                }
            }
            Poll::Ready(Some(Err(_))) => recorder.fail(),
            Poll::Ready(None) => recorder.finish(),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

// A layer that cannot fail keeps a router's promise that it cannot fail.
const _: fn(TelemetryService<axum::Router>) = |service| {
    fn never_fails<S: Service<Request<axum::body::Body>, Error = Infallible>>(_: S) {}
    never_fails(service);
};
