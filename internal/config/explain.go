package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/invopop/jsonschema"
)

// explain turns the YAML library's error into one line with a position, and
// adds the nearest key that exists to an unknown one.
func explain(err error) error {
	var ye yaml.Error
	if !errors.As(err, &ye) {
		return err
	}
	where := ""
	if t := ye.GetToken(); t != nil && t.Position != nil {
		where = fmt.Sprintf("line %d, column %d: ", t.Position.Line, t.Position.Column)
	}
	var unknown *yaml.UnknownFieldError
	if errors.As(err, &unknown) && unknown.Token != nil {
		key := unknown.Token.Value
		return fmt.Errorf("%sunknown key %q; did you mean %q?", where, key, nearest(key))
	}
	return fmt.Errorf("%s%s", where, ye.GetMessage())
}

// nearest is the existing key with the smallest edit distance to key.
func nearest(key string) string {
	keys := keysOf(reflect.TypeFor[Config](), "")
	last := func(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }
	return slices.MinFunc(keys, func(a, b string) int {
		return distance(key, last(a)) - distance(key, last(b))
	})
}

// keysOf lists the dotted paths of all keys of the struct type t.
func keysOf(t reflect.Type, prefix string) []string {
	var out []string
	for f := range t.Fields() {
		tag := f.Tag.Get("yaml")
		if tag == "" {
			continue
		}
		out = append(out, prefix+tag)
		ft := f.Type
		if ft.Kind() == reflect.Slice {
			ft = ft.Elem()
		}
		if ft.Kind() == reflect.Struct {
			out = append(out, keysOf(ft, prefix+tag+".")...)
		}
	}
	return out
}

// distance is the Levenshtein distance of two short strings.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diag
			if a[i] != b[j] {
				cost++
			}
			diag, row[j+1] = row[j+1], min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// Schema is the JSON Schema of the file, for editors.
func Schema() ([]byte, error) {
	r := jsonschema.Reflector{DoNotReference: true, RequiredFromJSONSchemaTags: true, Anonymous: true, Mapper: schemaOfText}
	s := r.Reflect(&Config{})
	s.Title = "shoji configuration"
	return json.MarshalIndent(s, "", "  ")
}

// schemaOfText maps the types that are written as text.
func schemaOfText(t reflect.Type) *jsonschema.Schema {
	text := reflect.TypeFor[interface{ UnmarshalText([]byte) error }]()
	switch {
	case t == reflect.TypeFor[Size]():
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "string", Pattern: "^[0-9]+ ?([KMGT]iB)?$"}, {Type: "integer", Minimum: "0"}}}
	case t.Kind() != reflect.Interface && reflect.PointerTo(t).Implements(text):
		return &jsonschema.Schema{Type: "string"}
	}
	return nil
}
