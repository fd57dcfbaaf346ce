"""One model, many conversations: slots, scheduler, runner, engine and worker."""
