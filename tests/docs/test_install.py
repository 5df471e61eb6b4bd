"""docs/install.md on a machine of its own, and docs/troubleshooting.md there."""

import page
import pytest


def without_upgrades(machine, block):
    """The packages are there already; newer ones would need the network."""
    return machine.shell(block.text.replace(
        "apt-get install ", "apt-get install --no-upgrade ", 1))


@pytest.fixture(scope="module")
def installed(new_machine):
    """A machine and the page that it was set up by."""
    machine = new_machine()
    install = page.Page("install.md")
    install.run(machine, around={"^apt-get install": without_upgrades})
    return machine, install


def test_install(installed):
    machine, install = installed
    assert install.left() == []
    services = machine.shell("/usr/local/postern/sbin/posternctl ping")
    assert "ok" in services.lower(), services
