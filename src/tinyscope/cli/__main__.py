"""`python -m tinyscope.cli`, which torchrun needs: torchrun --nproc-per-node 2 -m tinyscope.cli."""

from tinyscope.cli.main import main

main()
