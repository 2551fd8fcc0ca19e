package config

import (
	"encoding"
	"fmt"
	"net/netip"
	"reflect"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// checkText reads every value that is written as text, such as an address or a time span,
// and says where one is that cannot be read. The decoder does not say it, and takes an
// empty text for an address or prefix that is none.
func checkText(b []byte) error {
	file, err := parser.ParseBytes(b, 0)
	if err != nil || len(file.Docs) == 0 || file.Docs[0].Body == nil {
		return nil // the decoder says what is wrong
	}
	return checkValue(file.Docs[0].Body, reflect.TypeFor[Config](), "")
}

// checkValue checks the value of a key. Its depth is that of the type. What does not have
// the type's form is left to the decoder.
func checkValue(n ast.Node, t reflect.Type, key string) error {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return checkScalar(n, t, key)
	}
	switch t.Kind() {
	case reflect.Struct:
		return checkKeys(n, t, key)
	case reflect.Slice:
		return checkItems(n, t.Elem(), key)
	}
	return nil
}

func checkKeys(n ast.Node, t reflect.Type, above string) error {
	m, ok := n.(ast.MapNode)
	if !ok {
		return nil
	}
	if above != "" {
		above += "."
	}
	for i := m.MapRange(); i.Next(); {
		key, ok := i.Key().(*ast.StringNode)
		if !ok {
			continue
		}
		for f := range t.Fields() {
			if f.Tag.Get("yaml") != key.Value {
				continue
			}
			if err := checkValue(i.Value(), f.Type, above+key.Value); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkItems checks a list. None of the lists has use for an item without a value.
func checkItems(n ast.Node, t reflect.Type, key string) error {
	list, ok := n.(*ast.SequenceNode)
	if !ok {
		return nil
	}
	for i, item := range list.Values {
		at := fmt.Sprintf("%s[%d]", key, i)
		text, isText := item.(*ast.StringNode)
		if item.Type() == ast.NullType || isText && text.Value == "" {
			return fmt.Errorf("%s%s: an item without a value: give it one, or remove it", position(item), at)
		}
		if err := checkValue(item, t, at); err != nil {
			return err
		}
	}
	return nil
}

// checkScalar reads one text.
func checkScalar(n ast.Node, t reflect.Type, key string) error {
	scalar, ok := n.(ast.ScalarNode)
	if !ok || n.Type() == ast.NullType { // a key without a value has its default
		return nil
	}
	text, err := []byte(scalar.GetToken().Value), error(nil)
	switch v := reflect.New(t).Interface().(type) {
	case *netip.Prefix:
		err = readPrefix(v, string(text))
	case *netip.Addr:
		if *v, err = netip.ParseAddr(string(text)); err != nil {
			err = fmt.Errorf("%q is no address: write it like 192.0.2.1 or 2001:db8::1", text)
		}
	case encoding.TextUnmarshaler:
		err = v.UnmarshalText(text)
	}
	if err != nil {
		return fmt.Errorf("%s%s: %w", position(n), key, err)
	}
	return nil
}

func readPrefix(p *netip.Prefix, text string) (err error) {
	if *p, err = netip.ParsePrefix(text); err != nil {
		return fmt.Errorf("%q is no prefix: write it like 192.0.2.0/24 or 2001:db8::/32", text)
	}
	return nil
}

// position is where a value stands, as explain says it.
func position(n ast.Node) string {
	t := n.GetToken()
	if t == nil || t.Position == nil {
		return ""
	}
	return fmt.Sprintf("line %d, column %d: ", t.Position.Line, t.Position.Column)
}
