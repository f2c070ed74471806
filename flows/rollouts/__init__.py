"""An image by digest into workloads: what deploy, rollback and promote share."""
