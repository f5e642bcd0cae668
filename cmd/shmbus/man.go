package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// newMan writes the manual pages from the tree of commands. It is hidden: it is
// for those who package the program.
func newMan(a *app) *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "write manual pages to DIR",
		Args:   dirArg,
		Hidden: true,
		RunE: a.runE(func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			return writeManTree(cmd.Root(), args[0])
		}),
	}
}

// newDocs holds what packagers make documents with.
func newDocs(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "docs", Short: "write documents", Hidden: true,
		Args: noArgs, RunE: func(*cobra.Command, []string) error { return usagef("docs: want man DIR") },
	}
	cmd.AddCommand(newMan(a))
	return cmd
}

func writeManTree(cmd *cobra.Command, dir string) error {
	if cmd.Hidden || !cmd.IsAvailableCommand() && cmd.HasParent() {
		return nil
	}
	name := manName(cmd)
	if err := os.WriteFile(filepath.Join(dir, name+".1"), []byte(manPage(cmd)), 0o644); err != nil {
		return err
	}
	if cmd.Name() == "completion" {
		return nil // a page for each shell says nothing more
	}
	for _, c := range cmd.Commands() {
		if err := writeManTree(c, dir); err != nil {
			return err
		}
	}
	return nil
}

func manName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// manWidth is the width of the lists of options, in columns.
const manWidth = 72

const manExitStatus = `0: done. 1: failed. 2: wrong usage. 3: no such bus or topic. 4: version mismatch.
124: timed out. 130: interrupted; SIGTERM ends serve, metrics and http with 0.`

const manEnvironment = `SHMBUS_DIR: root directory of buses, like \-\-dir. SHMBUS_BUS: name of the bus, like \-\-bus.`

// manPage renders one page in roff (man(7)).
func manPage(cmd *cobra.Command) string {
	cmd.InitDefaultHelpFlag()
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s 1 \"\" \"shmbus\" \"User Commands\"\n", strings.ToUpper(manName(cmd)))
	section := func(title string) { fmt.Fprintf(&b, ".SH %s\n", title) }
	section("NAME")
	fmt.Fprintf(&b, "%s \\- %s\n", roff(manName(cmd)), roff(cmd.Short))
	section("SYNOPSIS")
	fmt.Fprintf(&b, ".B %s\n", roff(cmd.UseLine()))
	if cmd.Long != "" {
		section("DESCRIPTION")
		b.WriteString(roff(cmd.Long) + "\n")
	}
	manFlags(&b, "OPTIONS", cmd.NonInheritedFlags().FlagUsagesWrapped(manWidth))
	manFlags(&b, "GLOBAL OPTIONS", cmd.InheritedFlags().FlagUsagesWrapped(manWidth))
	if cmd.Example != "" {
		section("EXAMPLES")
		fmt.Fprintf(&b, ".nf\n%s\n.fi\n", roff(cmd.Example))
	}
	section("EXIT STATUS")
	b.WriteString(manExitStatus + "\n")
	section("ENVIRONMENT")
	b.WriteString(manEnvironment + "\n")
	section("SEE ALSO")
	var also []string
	if cmd.HasParent() {
		also = append(also, roff(manName(cmd.Parent()))+"(1)")
	}
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() && cmd.Name() != "completion" {
			also = append(also, roff(manName(c))+"(1)")
		}
	}
	b.WriteString(strings.Join(also, ", ") + "\n")
	return b.String()
}

func manFlags(b *strings.Builder, title, usages string) {
	if usages != "" {
		fmt.Fprintf(b, ".SH %s\n.nf\n%s.fi\n", title, roff(usages))
	}
}

// roff escapes text: backslashes, hyphens, and lines that would begin a request.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
