//go:build tools

// Package tools names what `go build` makes of this module.
package tools

import _ "helm.sh/helm/v3/cmd/helm"
