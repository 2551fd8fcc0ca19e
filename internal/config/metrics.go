package config

// Metrics says where a monitoring system reads how the resolver does.
type Metrics struct {
	Listen []Socket `yaml:"listen" json:"listen,omitempty" jsonschema:"description=Addresses (HTTP without TLS) of /metrics\\, in Prometheus's format\\, and /health\\, ADDRESS:PORT. They tell sums over everybody\\, and nothing of any client. Default: none."`
}
