//! Verifies tokens by JWKS, signs and verifies media URLs, holds revocations.
