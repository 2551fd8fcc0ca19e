package config

// Source is one source of evidence.
type Source struct {
	ID       string   `yaml:"id" json:"id" jsonschema:"required,description=A short identity that stands in the log\\, such as example-feed."`
	Title    string   `yaml:"title" json:"title,omitempty" jsonschema:"description=What people call it."`
	Location string   `yaml:"location" json:"location" jsonschema:"required,description=Where it is read from: an https address\\, a file\\, a folder of files\\, or a response-policy zone to transfer: axfr://[KEY@]ADDRESS[:PORT]/ZONE\\, with the name of a key of transfer.keys. Of policy zones (format rpz) an earlier one in this list counts before a later one: what it lets pass no later one accuses."`
	Format   string   `yaml:"format" json:"format,omitempty" jsonschema:"description=plain\\, hosts\\, adblock\\, rpz\\, csv\\, maltrail\\, json\\, misp or stix. Default: detected."`
	Kinds    []string `yaml:"kinds" json:"kinds" jsonschema:"required,description=What each of its claims is evidence of\\, such as c2\\, phishing\\, popular\\, benign\\, shared-apex or user-content. The policy weighs them by kind."`
	Group    string   `yaml:"group" json:"group,omitempty" jsonschema:"description=Sources that copy one another have the same group\\, and count as one. Default: it stands by itself."`
	License  string   `yaml:"license" json:"license,omitempty" jsonschema:"description=Its licence\\, as an SPDX expression where there is one."`
	Scope    string   `yaml:"scope" json:"scope,omitempty" jsonschema:"enum=exact,enum=subtree,description=Whether it speaks of names alone or of all below them too. Default: what its format says."`
	Family   string   `yaml:"family" json:"family,omitempty" jsonschema:"description=Malware family\\, for claims that name none."`
	Undated  string   `yaml:"undated" json:"undated,omitempty" jsonschema:"enum=current,enum=archive,description=What its claims without a date say. current: seen when the list was published (Last-Modified\\, a file's time\\, or when it last changed)\\, and not again by being read again. archive: it collects what was seen once\\; a claim was seen when it was new to the list\\, and of what it had at first nobody knows when. Default: archive for maltrail\\, current for other formats."`
	Publish  string   `yaml:"publish" json:"publish,omitempty" jsonschema:"enum=names,enum=commitment,description=How the log shows what is listed for this source alone. names: in clear. commitment: as a salted commitment\\, which hides the names from being read off and is opened by whoever asks for the name\\; for sources whose licence forbids to publish them. Addresses\\, and names of one label or of more than 16\\, are then not listed for it. Default: names."`
	Interval Duration `yaml:"interval" json:"interval,omitempty" jsonschema:"description=Time between two readings. Default: 24h."`
}
