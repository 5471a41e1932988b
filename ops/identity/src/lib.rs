//! Workload identity: the certificate authority of one machine, SPIFFE names, and who may call whom.
