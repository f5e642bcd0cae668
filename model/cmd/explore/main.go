package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/shmbus/shmbus/model"
)

var (
	all      = flag.Bool("all", false, "explore all scenes and mutants, not only the quick ones")
	scene    = flag.String("scene", "", "only scenes whose `name` contains this, and no mutants")
	mutation = flag.String("mutation", "", "put this `mutation` into the scenes of -scene")
	trace    = flag.Bool("trace", false, "print the shortest way to each violation")
	states   = flag.Int("states", model.MostStates, "cut a scene off at so many states")
	workers  = flag.Int("j", 2, "explore so many at once")
)

// job is one line of a table and whether it is as it should be.
type job struct {
	scene  *model.Scene
	mutant model.Mutant
	result model.Result
}

func main() {
	flag.Parse()
	mut := model.Mutant{}
	for _, mu := range model.Mutants {
		if *mutation == mu.Name {
			mut = mu
		}
	}
	if *mutation != "" && mut.Name == "" {
		fmt.Fprintf(os.Stderr, "explore: no mutation %q\n", *mutation)
		os.Exit(2)
	}
	var scenes, mutants []*job
	for i := range model.Scenes {
		sc := &model.Scenes[i]
		if *scene == "" && (*all || sc.Quick) || *scene != "" && strings.Contains(sc.Name, *scene) {
			scenes = append(scenes, &job{scene: sc, mutant: mut})
		}
	}
	for _, mu := range model.Mutants {
		if *scene == "" && (*all || !mu.Slow) {
			mutants = append(mutants, &job{scene: model.SceneNamed(mu.Scene), mutant: mu})
		}
	}
	bad := run(scenes, "scene                                     kills     states  depth     time  verdict", sceneLine)
	if len(mutants) > 0 {
		bad = run(mutants, "\nmutation                    scene                                      states  depth  verdict", mutantLine) || bad
	}
	if bad {
		os.Exit(1)
	}
}

// run explores the jobs and prints a line of each as they end, in their order.
func run(jobs []*job, head string, line func(*job) (string, bool)) (bad bool) {
	fmt.Println(head)
	done := make([]chan struct{}, len(jobs))
	turn := make(chan struct{}, max(*workers, 1))
	var group sync.WaitGroup
	for i := range jobs {
		done[i] = make(chan struct{})
	}
	group.Go(func() {
		for i, j := range jobs {
			turn <- struct{}{}
			group.Go(func() {
				j.result = model.Explore(j.scene, j.mutant.Mutation, model.Limits{States: *states})
				<-turn
				close(done[i])
			})
		}
	})
	for i, j := range jobs {
		<-done[i]
		text, wrong := line(j)
		bad = bad || wrong
		fmt.Println(text)
		if *trace {
			for k, step := range j.result.Trace {
				fmt.Printf("  %3d  %s\n", k+1, step)
			}
		}
	}
	group.Wait()
	return bad
}

func sceneLine(j *job) (string, bool) {
	verdict := "holds"
	if !j.result.Complete {
		verdict = "no violation, cut off"
	}
	if j.result.Violation != "" {
		verdict = "VIOLATED: " + j.result.Violation
	}
	kills := fmt.Sprint(j.scene.Kills)
	if j.scene.HostKills > 0 {
		kills += fmt.Sprintf("+%d", j.scene.HostKills)
	}
	return fmt.Sprintf("%-42s %4s %10d  %5d %7.1fs  %s", j.scene.Name, kills, j.result.States, j.result.Depth, j.result.Took.Seconds(), verdict), j.result.Violation != ""
}

func mutantLine(j *job) (string, bool) {
	verdict, wrong := "NOT CAUGHT", true
	switch {
	case j.result.Violation != "":
		verdict, wrong = "caught: "+j.result.Violation, j.mutant.Harmless != ""
	case j.mutant.Harmless != "":
		verdict, wrong = "harmless: "+j.mutant.Harmless, false
	}
	return fmt.Sprintf("%-27s %-38s %10d  %5d  %s", j.mutant.Name, j.scene.Name, j.result.States, j.result.Depth, verdict), wrong
}
