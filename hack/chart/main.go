// Command chart brings up to date what the Helm chart has from elsewhere: its
// copies of files in config/, and the table of its values in docs/helm.md. It
// runs at the root of the repository.
package main

import (
	"errors"
	"fmt"
	"os"
)

const (
	chartDir   = "charts/secret-server-operator"
	valuesFile = chartDir + "/values.yaml"
	handbook   = "docs/helm.md"
)

func main() {
	if err := errors.Join(copyAll("."), writeTable(valuesFile, handbook)); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}
