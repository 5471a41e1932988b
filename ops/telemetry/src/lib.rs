//! JSON logs, RED metrics, W3C trace context.
