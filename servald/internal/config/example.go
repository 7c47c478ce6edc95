package config

import _ "embed"

// Example is a configuration with every key, as a comment where it would change
// something. It is valid as it is.
//
//go:embed example.toml
var Example string
