//go:build tools

// Package tools names what `go build` makes of this module.
package tools

import _ "github.com/docker/compose/v2/cmd"
