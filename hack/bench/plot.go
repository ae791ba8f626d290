package main

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

const plotWidth, plotHeight = 16 * vg.Centimeter, 10 * vg.Centimeter

// drawLateness draws how late refreshes are stored, in milliseconds, over the number of sessions.
func drawLateness(path string, curves []curve) error {
	return draw(path, "Lateness of refreshes: planned against stored", "milliseconds", curves)
}

// drawMemory draws what the operator holds, in MiB, over the number of sessions.
func drawMemory(path string, curves []curve) error {
	return draw(path, "Resident memory of the operator", "MiB", curves)
}

// draw makes a PNG with logarithmic axes: the sizes are powers of ten. Without a curve there is nothing to draw.
func draw(path, title, unit string, curves []curve) error {
	if len(curves) == 0 {
		return nil
	}
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, "sessions", unit
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.Legend.Top, p.Legend.Left = true, true
	p.Add(plotter.NewGrid())
	for i, c := range curves {
		line, points, err := plotter.NewLinePoints(c.points())
		if err != nil {
			return fmt.Errorf("draw %s: %w", c.Name, err)
		}
		line.Color, points.Color, points.Shape = plotutil.Color(i), plotutil.Color(i), plotutil.Shape(i)
		if c.Wanted {
			line.Dashes = plotutil.Dashes(1)
			p.Add(line)
		} else {
			p.Add(line, points)
		}
		p.Legend.Add(c.Name, line)
	}
	// A logarithmic axis needs some length.
	if p.X.Min == p.X.Max {
		p.X.Min, p.X.Max = p.X.Min/2, p.X.Max*2
	}
	p.Y.Min, p.Y.Max = p.Y.Min/2, p.Y.Max*4 // with room for the legend
	return p.Save(plotWidth, plotHeight, path)
}

// points are those of a curve, in the order of x; what is not above zero has no place on a logarithmic axis.
func (c curve) points() plotter.XYs {
	var xy plotter.XYs
	for i := range c.X {
		xy = append(xy, plotter.XY{X: c.X[i], Y: math.Max(c.Y[i], 0.1)})
	}
	slices.SortFunc(xy, func(a, b plotter.XY) int { return int(math.Copysign(1, a.X-b.X)) })
	return xy
}
