package main

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/control"
)

// app is what one run of the command shares: the global flags and how it ends.
type app struct {
	bus     string
	dir     string
	output  format
	noHost  bool
	verbose bool

	started bool   // the command line was right and the command itself has begun
	service bool   // SIGTERM is the ordinary end
	last    string // last line on standard error
}

// runE is the body of a command. Errors before it begins are errors of usage.
func (a *app) runE(f func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		a.started = true
		return f(cmd, args)
	}
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "shmbus",
		Short: "messages between processes of one machine, through shared memory",
		Long: `shmbus moves messages between processes of one machine through shared memory.
The first process of a bus becomes its host; there is nothing to start and
nothing to clean up. A topic is made by its first publisher.`,
		Example: `  shmbus sub greetings --count 1 &
  echo hello | shmbus pub greetings --wait-subscribers 1`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       programVersion(),
	}
	root.SetVersionTemplate("shmbus {{.Version}}\n")
	root.SetOut(os.Stdout)
	root.SetErr(os.Stderr)
	root.SetFlagErrorFunc(flagError)
	a.output = formatText
	f := root.PersistentFlags()
	f.StringVar(&a.bus, "bus", "", "`NAME` of the bus (default $SHMBUS_BUS, then \"default\")")
	f.StringVar(&a.dir, "dir", "", "root `DIR` of buses (default $SHMBUS_DIR, then the system's)")
	f.VarP(&a.output, "output", "o", "text or json")
	f.BoolVar(&a.noHost, "no-host", false, "never become the host of the bus")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "say on standard error what the bus does")
	must(root.RegisterFlagCompletionFunc("output", completeWords("text", "json")))

	root.AddCommand(
		newServe(a), newPub(a), newSub(a), newLs(a), newStat(a), newRm(a), newDoctor(a), newDemo(a), newVersion(a),
		newMan(a), newDocs(a), newDemoPublisher(a), newDemoSubscriber(a),
		newBench(a), newBenchActor(a),
		newMetrics(a), newTop(a), newHTTP(a),
	)
	refuseUnknown(root)
	return root
}

// refuseUnknown has help and completion, cobra's own commands, refuse what they
// do not know. By themselves they show some help instead.
func refuseUnknown(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			c.Args = commandArg
		case "completion":
			c.RunE = showHelp // what runs has its arguments checked
			for _, shell := range c.Commands() {
				shell.Args = noArgs
			}
		}
	}
}

// commandArg checks that the arguments lead to a command.
func commandArg(cmd *cobra.Command, args []string) error {
	c, rest, err := cmd.Root().Find(args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return usagef("unknown command %q for %q", rest[0], c.CommandPath())
	}
	return nil
}

func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// busName is the name of the bus chosen by flag, environment or default.
func (a *app) busName() string {
	if a.bus != "" {
		return a.bus
	}
	if name := os.Getenv("SHMBUS_BUS"); name != "" {
		return name
	}
	return "default"
}

// rootDir is the directory chosen by flag or environment; empty means the system's.
func (a *app) rootDir() string {
	if a.dir != "" {
		return a.dir
	}
	return os.Getenv("SHMBUS_DIR")
}

// busConfig is the configuration of a participant.
func (a *app) busConfig() bus.Config {
	return bus.Config{Name: a.busName(), Dir: a.rootDir(), NeverHost: a.noHost, Logger: a.logger()}
}

// controlConfig is the configuration of an observer: it takes no slot, never
// gates and never hosts.
func (a *app) controlConfig() control.Config {
	return control.Config{Bus: a.busName(), Dir: a.rootDir(), NeverHost: true, Observer: true, Logger: a.logger()}
}

// logger is nil, as libraries take it for silence, unless --verbose.
func (a *app) logger() *slog.Logger {
	if !a.verbose {
		return nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// noArgs checks the arguments of a command that takes none.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("takes no arguments, got %q", args[0])
	}
	return nil
}

// dirArg checks the one argument of a command that takes a directory.
func dirArg(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("want one DIR, got %d arguments", len(args))
	}
	return nil
}

// topicArg checks the one argument of a command that takes a topic.
func topicArg(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("want one TOPIC, got %d arguments", len(args))
	}
	return validTopic(args[0])
}

func validTopic(name string) error {
	if err := control.ValidName("topic", name); err != nil {
		return usageError{err}
	}
	return nil
}

// completeWords completes a flag from a closed set.
func completeWords(words ...string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeTopics completes the topic argument from the topics of the bus.
func (a *app) completeTopics(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const none = cobra.ShellCompDirectiveNoFileComp
	if len(args) != 0 {
		return nil, none
	}
	client, err := control.Dial(cmd.Context(), a.controlConfig())
	if err != nil {
		return nil, none
	}
	defer client.Close()
	topics, err := client.Topics(cmd.Context())
	if err != nil {
		return nil, none
	}
	var names []string
	for _, t := range topics {
		names = append(names, t.Name)
	}
	return names, none
}

// must ends the process on an error that only a mistake in this program makes.
func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("shmbus: %v", err))
	}
}
