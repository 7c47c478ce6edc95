package config

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// explain makes errors of the decoder say where, what, and what else could be there.
func explain(name string, err error) error {
	var missing *toml.StrictMissingError
	if errors.As(err, &missing) {
		var all []error
		for _, e := range missing.Errors {
			all = append(all, at(name, &e, unknown(e.Key())))
		}
		return errors.Join(all...)
	}
	var wrong *toml.DecodeError
	if errors.As(err, &wrong) {
		return at(name, wrong, plain(wrong))
	}
	return fmt.Errorf("%s: %s", name, mistyped(strings.TrimPrefix(err.Error(), "toml: ")))
}

func at(name string, e *toml.DecodeError, text string) error {
	line, column := e.Position()
	return fmt.Errorf("%s:%d:%d: %s", name, line, column, text)
}

// plain is the decoder's text in terms of the file instead of the program.
func plain(e *toml.DecodeError) string {
	text := mistyped(strings.TrimPrefix(e.Error(), "toml: "))
	if key := strings.Join(e.Key(), "."); key != "" && !strings.HasPrefix(text, key) {
		return key + ": " + text
	}
	return text
}

var (
	inField = regexp.MustCompile(`cannot decode TOML (\S+) into (?:a Go value of type|struct field \S+ of type) (\S+)`)
	inType  = regexp.MustCompile(`cannot (?:decode|store) (?:TOML )?(?:a )?(\S+) (?:into|in) (?:a )?(?:Go (?:value of type )?)?(\S+)$`)
)

// mistyped says in words which kind of value was expected.
func mistyped(text string) string {
	m := inField.FindStringSubmatch(text)
	if m == nil {
		m = inType.FindStringSubmatch(text)
	}
	if m == nil {
		return text
	}
	return fmt.Sprintf("takes %s, not %s", kindOf(m[2]), article(m[1]))
}

func kindOf(goType string) string {
	switch {
	case goType == "bool":
		return "true or false"
	case strings.HasPrefix(goType, "int"), strings.HasPrefix(goType, "uint"), strings.HasPrefix(goType, "float"):
		return "a number"
	case strings.HasPrefix(goType, "[]"), goType == "slice":
		return `a list, such as ["a", "b"] (sections that can be repeated are written [[name]])`
	case strings.HasPrefix(goType, "map"):
		return "a table, such as { name = \"value\" }"
	case goType == "string", !strings.HasPrefix(goType, "*") && strings.Contains(goType, "."):
		return "text in quotes"
	}
	return "a section of its own"
}

func article(kind string) string {
	if kind == "array" || kind == "integer" {
		return "an " + kind
	}
	return "a " + kind
}

// unknown says that there is no such key, and which there are.
func unknown(key []string) string {
	t, where := reflect.TypeFor[Config](), "a configuration"
	for i, k := range key {
		names := keys(t)
		if j := slices.Index(names, k); j >= 0 && i < len(key)-1 {
			t, where = element(t.Field(fieldIndex(t, k)).Type), "["+strings.Join(key[:i+1], ".")+"]"
			continue
		}
		text := fmt.Sprintf("%s has no %q", where, k)
		if like := nearest(k, names); like != "" {
			text += fmt.Sprintf(" (is %q meant?)", like)
		}
		return text + ". It takes " + strings.Join(names, ", ") + "."
	}
	return strings.Join(key, ".") + " is not known"
}

// keys lists the keys of a section in their order.
func keys(t reflect.Type) []string {
	var names []string
	for f := range t.Fields() {
		if name := f.Tag.Get("toml"); name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return names
}

func fieldIndex(t reflect.Type, key string) int {
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("toml") == key {
			return i
		}
	}
	return -1
}

// element is the struct that a section is, or a pointer to or list of.
func element(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t
}

// nearest is the one of names that key may be a slip of; "" if there is none.
func nearest(key string, names []string) string {
	best, at := "", 3
	for _, n := range names {
		if d := distance(key, n); d < at && d < min(len(n), len(key)) {
			best, at = n, d
		}
	}
	return best
}

// distance is how many letters have to be put in, left out, exchanged, or swapped with
// their neighbours.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	at := make([][]int, len(a)+1) // of the beginnings of both
	for i := range at {
		at[i] = make([]int, len(b)+1)
		for j := range at[i] {
			switch {
			case i == 0 || j == 0:
				at[i][j] = i + j
				continue
			case a[i-1] == b[j-1]:
				at[i][j] = at[i-1][j-1]
			default:
				at[i][j] = 1 + min(at[i-1][j-1], at[i-1][j], at[i][j-1])
			}
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				at[i][j] = min(at[i][j], 1+at[i-2][j-2])
			}
		}
	}
	return at[len(a)][len(b)]
}

// prefix puts name before each of the errors.
func prefix(name string, err error) error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range many.Unwrap() {
			all = append(all, prefix(name, e))
		}
		return errors.Join(all...)
	}
	return fmt.Errorf("%s: %w", name, err)
}
