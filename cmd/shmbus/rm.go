package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/shmbus/shmbus/control"
)

func newRm(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "rm TOPIC",
		Short:             "remove a topic nobody is attached to",
		Args:              topicArg,
		ValidArgsFunction: a.completeTopics,
		RunE: a.runE(func(cmd *cobra.Command, args []string) (err error) {
			client, err := control.Dial(cmd.Context(), a.controlConfig())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, client.Close()) }()
			return client.Remove(cmd.Context(), args[0])
		}),
	}
}
