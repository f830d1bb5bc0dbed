// Reads .env files with the parsers of Compose and of `docker run --env-file`, many in one process.
//
//	envfiles compose|docker NAME <paths, one a line    prints a JSON list: what NAME is in each, null where it is nothing
package main

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/docker/cli/pkg/kvfile"
)

func noVariable(string) (string, bool) { return "", false }

func byCompose(path string) (map[string]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return dotenv.ParseWithLookup(file, noVariable)
}

func byDocker(path string) (map[string]string, error) {
	lines, err := kvfile.Parse(path, noVariable)
	found := map[string]string{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, "=")
		found[name] = value
	}
	return found, err
}

func main() {
	read := map[string]func(string) (map[string]string, error){"compose": byCompose, "docker": byDocker}[os.Args[1]]
	told := []*string{}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		found, err := read(lines.Text())
		value, there := found[os.Args[2]]
		if err != nil || !there {
			told = append(told, nil)
			continue
		}
		told = append(told, &value)
	}
	json.NewEncoder(os.Stdout).Encode(told)
}
