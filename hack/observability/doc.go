// Package observability tests what others see of the operator: the alerts with promtool, and alerts, dashboard and scraping with
// a real Prometheus that scrapes the built operator. `make test-alerts` runs all of it.
package observability
