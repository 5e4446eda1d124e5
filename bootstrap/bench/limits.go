// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import "fmt"

// Share is what part of one of GitHub's limits the measured load would be.
type Share struct {
	Limit string  `json:"limit"`
	Load  string  `json:"load"`
	Part  float64 `json:"part"`
}

// GitHub's documented limits for a GitHub App. The hourly one is of an installation
// and grows with its organisation, from 5,000 to 12,500; 15,000 with Enterprise
// Cloud. The others are of GitHub's secondary limit.
const (
	hourlyLeast     = 5_000
	hourlyMost      = 15_000
	concurrent      = 100
	pointsByMinute  = 900
	pointsByWrite   = 5
	requestsByToken = 2 // a mint and a revocation
	secondsByHour   = 3600
	secondsByMinute = 60
)

// shares holds the load of one repository at 64 callers against the limits. The
// simulator sets none: what is measured is the engine, not GitHub's patience.
func (r *Result) shares() []Share {
	c := r.cell(onePoint)
	if c == nil {
		return nil
	}
	hourly := c.Rate * secondsByHour * requestsByToken
	points := c.Rate * secondsByMinute * pointsByWrite
	load := fmt.Sprintf("%.0f requests an hour (%.0f tokens a second, minted and revoked)", hourly, c.Rate)
	shares := []Share{
		{fmt.Sprintf("%d requests an hour, the least of an installation", hourlyLeast), load, hourly / hourlyLeast},
		{fmt.Sprintf("%d requests an hour, the most of an installation", hourlyMost), load, hourly / hourlyMost},
		{fmt.Sprintf("%d points a minute at one endpoint, %d for each mint", pointsByMinute, pointsByWrite), fmt.Sprintf("%.0f points a minute", points), points / pointsByMinute},
	}
	if v := r.Revocation; v != nil {
		shares = append(shares, Share{
			fmt.Sprintf("%d requests at once", concurrent), fmt.Sprintf("%d at once at the most", v.MostAtOnce), float64(v.MostAtOnce) / concurrent,
		})
	}
	return shares
}
