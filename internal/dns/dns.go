// Package dns reads and writes DNS messages: names, types, records, EDNS.
//
// RDATA is opaque but for a table that says which octets of which types are names.
package dns
