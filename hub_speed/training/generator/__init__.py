"""Fine-tuning of generators and the revisor: SFT and DPO."""
