// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// compareFiles shows two runs beside each other: ratios to the floor, which the
// machine's mood does not change, and the bars.
func compareFiles(files []string, out io.Writer) error {
	if len(files) != 2 {
		return errors.New("compare takes two files that -json has written")
	}
	before, err := readResult(files[0])
	if err != nil {
		return err
	}
	after, err := readResult(files[1])
	if err != nil {
		return err
	}
	compare(before, after, out)
	return nil
}

func readResult(file string) (*Result, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var r Result
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &r, nil
}

func compare(before, after *Result, out io.Writer) {
	fmt.Fprintf(out, "before: %s on %s\nafter:  %s on %s\n", before.Commit, before.Machine, after.Commit, after.Machine)
	rows := [][]string{{"reads", "ratio before", "after", "change", "p99 before", "after"}}
	for _, c := range after.Cells {
		for _, old := range before.Cells {
			if old.String() != c.String() {
				continue
			}
			rows = append(rows, []string{
				c.String(), fmt.Sprintf("%.2f", old.Ratio), fmt.Sprintf("%.2f", c.Ratio), change(old.Ratio, c.Ratio),
				milliseconds(old.P99), milliseconds(c.P99),
			})
		}
	}
	table(out, rows)
	rows = [][]string{{"bar", "before", "after", "change", "mark"}}
	for _, b := range after.Bars {
		for _, old := range before.Bars {
			if old.Name == b.Name {
				rows = append(rows, []string{b.Name, old.Measured, b.Measured, change(old.Figure, b.Figure), old.Mark + " -> " + b.Mark})
			}
		}
	}
	table(out, rows)
}

func change(before, after float64) string {
	if before == 0 {
		return ""
	}
	return fmt.Sprintf("%+.0f %%", 100*(after/before-1))
}
